//! Changes of certificates and client policies while the proxy runs: in files whose names stay, and in the
//! configuration.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use rustls::{ClientConnection, StreamOwned};
use tollgate_demo_ca::{DemoCa, Issued, Lifetime};
use tollgate_tls::{ClientPolicy, Roots, ServerVerify, TlsVersions};

use crate::collector::Collector;
use crate::programs::s_client;
use crate::rig::{Gate, PATIENCE, Setup, Upstream};
use crate::upstream_pool::held;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const NAMES: &str = r#"
      names:
        - {names: [same.example.com], client_auth: required, client_ca: tls/ca.pem}
        - {names: [stricter.example.com], client_auth: optional, client_ca: tls/ca.pem}
        - {names: [wider.example.com], client_auth: required, client_ca: clients.pem}
"#;
/// All names, the open one included.
const ALL: [&str; 4] = ["open.example.com", "same.example.com", "stricter.example.com", "wider.example.com"];

struct World {
    gate: Gate,
    partner: DemoCa,
    alice: Issued,
    bob: Issued,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
    let partner = DemoCa::open(&dir.path().join("partner")).unwrap();
    let alice = ca.client("alice", "alice", &[], Lifetime::days(1)).unwrap();
    let bob = partner.client("bob", "bob", &[], Lifetime::days(1)).unwrap();
    std::fs::copy(ca.roots(), dir.path().join("clients.pem")).unwrap();
    let collector = Collector::start(&ca);
    let targets = [format!("http://{}", Upstream::answering(OK).addr)];
    let setup = Setup { targets: &targets, client_auth: "none", tls: NAMES, ..Setup::default() };
    World { gate: Gate::around(dir, ca, collector, &setup), partner, alice, bob }
}

impl World {
    /// One request by `openssl s_client`.
    fn ask(&self, version: &str, name: &str, shown: Option<&Issued>, more: &[&str]) -> Option<String> {
        ask(&self.gate, version, name, shown, more)
    }

    /// Another certificate for the gate, in the same files.
    fn renew(&self) {
        let tls = self.gate.dir.path().join("tls");
        for file in ["gate.pem", "gate.key"] {
            std::fs::remove_file(tls.join(file)).unwrap();
        }
        self.gate.ca.server("gate", &["localhost", "api.example.com"], Lifetime::days(2)).unwrap();
    }

    /// A connection that is kept, with alice's certificate.
    fn keep(&self, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
        keep(&self.gate, &self.alice, name)
    }
}

/// One request by `openssl s_client`.
fn ask(gate: &Gate, version: &str, name: &str, shown: Option<&Issued>, more: &[&str]) -> Option<String> {
    let mut all = vec![version, "-servername", name];
    if let Some(Issued { cert, key }) = shown {
        all.extend(["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()]);
    }
    all.extend(more);
    s_client(gate.tls, name, &all)
}

/// A connection that is kept, with this certificate.
fn keep(gate: &Gate, shown: &Issued, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
    tollgate_tls::install_provider();
    let (roots, identity) = (Roots::load(gate.ca.roots()).unwrap(), shown.identity().unwrap());
    let (alpn, versions) = (vec!["http/1.1".to_owned()], TlsVersions::Tls12And13);
    let policy = ClientPolicy { roots, identity: Some(identity), alpn, versions, verify: ServerVerify::None };
    let connection = ClientConnection::new(policy.config().unwrap(), name.try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(gate.tls).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, stream)
}

/// The status of one request, and whether the connection is closed after it.
fn status_on(stream: &mut StreamOwned<ClientConnection, TcpStream>, host: &str) -> (String, bool) {
    write!(stream, "GET /api HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    answer_on(stream)
}

/// The status of the answer, and whether the connection is closed after it.
fn answer_on(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> (String, bool) {
    let (mut answer, mut part) = (String::new(), [0; 1024]);
    while !answer.ends_with("hello") {
        match stream.read(&mut part).unwrap() {
            0 => break,
            read => answer.push_str(std::str::from_utf8(&part[..read]).unwrap()),
        }
    }
    (answer.split(' ').nth(1).unwrap_or_default().to_owned(), !answer.ends_with("hello"))
}

/// Whether the gate presented this certificate.
fn showed(said: &str, certificate: &Path) -> bool {
    let pem = std::fs::read_to_string(certificate).unwrap().replace('\r', "");
    let own = pem.split("-----END").next().unwrap();
    said.contains(own.trim())
}

#[test]
fn new_handshakes_and_changed_policies_hold_from_the_reload_on() {
    for version in ["-tls1_2", "-tls1_3"] {
        let world = world();
        let gate = &world.gate;
        let certificate = gate.dir.path().join("tls/gate.pem");
        let session = |name: &str| gate.dir.path().join(name).to_str().unwrap().to_owned();
        for name in ALL {
            let out = session(name);
            let Some(said) = world.ask(version, name, Some(&world.alice), &["-sess_out", &out]) else { return };
            assert!(said.contains("HTTP/1.1 200") && showed(&said, &certificate), "{name}: {said}");
        }
        let mut kept = ALL.map(|name| world.keep(name));
        for (stream, name) in kept.iter_mut().zip(ALL) {
            assert_eq!(status_on(stream, name), ("200".to_owned(), false), "{name}");
        }
        // One policy changes in the configuration, one in the file that it names, and the certificate in its file.
        gate.edit("client_auth: optional", "client_auth: required");
        let both = [gate.ca.roots(), world.partner.roots()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(gate.dir.path().join("clients.pem"), both).unwrap();
        let old = std::fs::read(&certificate).unwrap();
        world.renew();
        assert_ne!(std::fs::read(&certificate).unwrap(), old);
        gate.running().reload().unwrap();
        // Fresh handshakes see the new certificate and meet the new policies.
        for (name, shown, served) in [
            ("open.example.com", None, true),
            ("same.example.com", Some(&world.alice), true),
            ("same.example.com", Some(&world.bob), false),
            ("stricter.example.com", None, false),
            ("stricter.example.com", Some(&world.alice), true),
            ("wider.example.com", Some(&world.bob), true),
        ] {
            let said = world.ask(version, name, shown, &[]).unwrap();
            assert_eq!(said.contains("HTTP/1.1 200"), served, "{version} {name}: {said}");
            assert!(showed(&said, &certificate), "{version} {name}: {said}");
        }
        // Sessions resume where the policy is equal, and only there.
        for (name, resumes) in ALL.into_iter().zip([true, true, false, false]) {
            let said = world.ask(version, name, Some(&world.alice), &["-sess_in", &session(name)]).unwrap();
            assert!(said.contains("HTTP/1.1 200"), "{version} {name}: {said}");
            assert_eq!(said.contains("Reused, "), resumes, "{version} {name}: {said}");
        }
        // Open connections likewise.
        for (stream, (name, status)) in kept.iter_mut().zip(ALL.into_iter().zip(["200", "200", "421", "421"])) {
            assert_eq!(status_on(stream, name), (status.to_owned(), status == "421"), "{version} {name}");
        }
    }
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_the_one_in_force() {
    let world = world();
    let gate = &world.gate;
    let certificate = gate.dir.path().join("tls/gate.pem");
    let old = gate.dir.path().join("old.pem");
    std::fs::copy(&certificate, &old).unwrap();
    let key = gate.dir.path().join("tls/gate.key");
    let old_key = std::fs::read(&key).unwrap();
    world.renew();
    // The new certificate with the old key, as in the middle of a renewal.
    std::fs::write(&key, &old_key).unwrap();
    let error = gate.running().reload().unwrap_err().to_string();
    assert!(error.contains("gate.yaml:") && error.contains("certificates[0].certificate"), "{error}");
    let Some(said) = world.ask("-tls1_3", "open.example.com", None, &[]) else { return };
    assert!(said.contains("HTTP/1.1 200") && showed(&said, &old), "{said}");
    // Once both files are new, they take effect.
    world.renew();
    gate.running().reload().unwrap();
    let said = world.ask("-tls1_3", "open.example.com", None, &[]).unwrap();
    assert!(said.contains("HTTP/1.1 200") && showed(&said, &certificate), "{said}");
}

#[test]
fn who_is_revoked_gets_the_answer_that_is_under_way_and_no_other() {
    for version in ["-tls1_2", "-tls1_3"] {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(&dir.path().join("tls")).unwrap();
        let [alice, bob] = ["alice", "bob"].map(|name| ca.client(name, name, &[], Lifetime::days(1)).unwrap());
        ca.revoke("clients", &[], Lifetime::days(1)).unwrap();
        let (upstream, came, go) = held();
        let targets = [format!("http://{}", upstream.addr)];
        let (collector, tls) = (Collector::start(&ca), "      client_crl: {files: [tls/clients.crl]}");
        let setup = Setup { targets: &targets, client_auth: "required", tls, ..Setup::default() };
        let gate = Gate::around(dir, ca, collector, &setup);
        let session = gate.dir.path().join("session").to_str().unwrap().to_owned();
        go.send(()).unwrap();
        let Some(said) = ask(&gate, version, "localhost", Some(&alice), &["-sess_out", &session]) else { return };
        assert!(said.contains("HTTP/1.1 200"), "{said}");
        came.recv_timeout(PATIENCE).unwrap();
        let mut kept = keep(&gate, &alice, "localhost");
        write!(kept, "GET /api/under-way HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        came.recv_timeout(PATIENCE).unwrap();
        gate.ca.revoke("clients", &[&alice], Lifetime::days(1)).unwrap();
        gate.running().reload().unwrap();
        // A fresh handshake is refused, and so is a session that is older than the list.
        for more in [&[][..], &["-sess_in", &session]] {
            let said = ask(&gate, version, "localhost", Some(&alice), more).unwrap();
            assert!(!said.contains("HTTP/1.1 200") && !said.contains("Reused, "), "{version} {more:?}: {said}");
        }
        go.send(()).unwrap();
        assert_eq!(answer_on(&mut kept), ("200".to_owned(), false), "{version}: what was under way is not dropped");
        assert_eq!(status_on(&mut kept, "localhost"), ("421".to_owned(), true), "{version}");
        go.send(()).unwrap();
        let said = ask(&gate, version, "localhost", Some(&bob), &[]).unwrap();
        assert!(said.contains("HTTP/1.1 200"), "{version}: {said}");
        let rows = gate.finish();
        assert_eq!(rows.len(), 6, "{version}: {rows:#?}");
        let revoked = rows.iter().filter(|row| row["tollgate.auth_fail_reason"] == "cert_revoked");
        assert_eq!(revoked.count(), 2, "{version}: {rows:#?}");
        let under_way = rows.iter().find(|row| row["url.path"] == "/api/under-way").unwrap();
        assert_eq!(under_way["tollgate.termination"], "complete");
    }
}
