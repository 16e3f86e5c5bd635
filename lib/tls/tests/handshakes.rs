//! Handshakes between our own server and client configurations, over loopback.

mod shake;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig};
use shake::{send, shake};
use tollgate_demo_ca::{DemoCa, Issued, Lifetime};
use tollgate_tls::{
    Certificates, ClientAuth, ClientPolicy, Identity, Revocation, Roots, ServerNames, ServerVerify, TlsVersions,
    client, handshake_failure_reason, server, server_with,
};

/// An authority with a server certificate for `localhost`, in a folder of its own.
struct World {
    folder: tempfile::TempDir,
    ca: DemoCa,
    server: Identity,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(folder.path()).unwrap();
        let server = ca.server("server", &["localhost", "127.0.0.1"], Lifetime::days(1)).unwrap().identity().unwrap();
        Self { folder, ca, server }
    }

    fn roots(&self) -> Roots {
        Roots::load(self.ca.roots()).unwrap()
    }

    fn serving(&self, client_auth: ClientAuth) -> Arc<ServerConfig> {
        server(vec![self.server.clone()], client_auth, &["h2", "http/1.1"], TlsVersions::Tls12And13).unwrap()
    }

    /// A client that trusts this authority and shows this certificate.
    fn client(&self, certificate: Option<&Issued>) -> Arc<ClientConfig> {
        let identity = certificate.map(|issued| issued.identity().unwrap());
        client(Some(self.ca.roots()), identity, &["h2"]).unwrap()
    }

    fn issue(&self, lifetime: Lifetime) -> Issued {
        self.ca.client("orders", "orders", &["gate-1.example"], lifetime).unwrap()
    }
}

#[tokio::test]
async fn without_client_authentication_none_is_asked_for() {
    let world = World::new();
    let issued = world.issue(Lifetime::days(1));
    let (accepted, connected) =
        shake(&world.serving(ClientAuth::None), &world.client(Some(&issued)), "localhost").await;
    let accepted = accepted.unwrap();
    assert_eq!(accepted.peer, None);
    assert_eq!(accepted.sni.as_deref(), Some("localhost"));
    assert_eq!(accepted.alpn.as_deref(), Some("h2"));
    assert_eq!(accepted.version, Some(ProtocolVersion::TLSv1_3));
    assert!(!accepted.resumed);
    assert_eq!(&connected.unwrap().server, world.server.certificate());
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let world = World::new();
    let serving = world.serving(ClientAuth::Optional(world.roots()));

    let (accepted, _) = shake(&serving, &world.client(None), "localhost").await;
    assert_eq!(accepted.unwrap().peer, None);

    let issued = world.issue(Lifetime::days(1));
    let (accepted, _) = shake(&serving, &world.client(Some(&issued)), "localhost").await;
    let peer = accepted.unwrap().peer.unwrap();
    assert_eq!(peer.common_name.as_deref(), Some("orders"));
    assert_eq!(peer.dns_names, ["gate-1.example"]);
    assert_eq!(&peer, issued.identity().unwrap().certificate());

    let stranger = World::new();
    let foreign = stranger.issue(Lifetime::days(1));
    let (accepted, _) = shake(&serving, &world.client(Some(&foreign)), "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "cert_unknown_ca");
}

#[tokio::test]
async fn a_required_certificate_must_be_there_trusted_and_valid() {
    let world = World::new();
    let serving = world.serving(ClientAuth::Required(world.roots()));

    let (accepted, connected) = shake(&serving, &world.client(None), "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "no_certificate");
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "peer_no_certificate");

    let stranger = World::new();
    let foreign = stranger.issue(Lifetime::days(1));
    let (accepted, connected) = shake(&serving, &world.client(Some(&foreign)), "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "cert_unknown_ca");
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "peer_cert_unknown_ca");

    for lifetime in [Lifetime::expired(), Lifetime::not_yet()] {
        let issued = world.issue(lifetime);
        assert!(issued.identity().unwrap().validity_warning().is_some());
        let (accepted, _) = shake(&serving, &world.client(Some(&issued)), "localhost").await;
        assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "cert_expired");
    }

    let issued = world.issue(Lifetime::days(1));
    let (accepted, _) = shake(&serving, &world.client(Some(&issued)), "localhost").await;
    assert!(accepted.unwrap().peer.is_some());
}

#[tokio::test]
async fn a_server_certificate_is_no_client_certificate() {
    let world = World::new();
    let serving = world.serving(ClientAuth::Required(world.roots()));
    let issued = world.ca.server("other", &["other.example"], Lifetime::days(1)).unwrap();
    let (accepted, _) = shake(&serving, &world.client(Some(&issued)), "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "other");
}

#[tokio::test]
async fn an_issuer_of_the_right_name_with_the_wrong_key_is_a_bad_signature() {
    let world = World::new();
    let (trusted, forged) = (authority("The One CA"), authority("The One CA"));
    let roots = world.folder.path().join("one.pem");
    std::fs::write(&roots, trusted.0.pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap().signed_by(&key, &forged.1).unwrap();
    let issued = write(world.folder.path().join("leaf.pem"), &leaf.pem(), &key.serialize_pem());

    let serving = world.serving(ClientAuth::Required(Roots::load(&roots).unwrap()));
    let (accepted, _) = shake(&serving, &world.client(Some(&issued)), "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "bad_signature");
}

#[tokio::test]
async fn a_client_refuses_what_it_does_not_trust() {
    let world = World::new();
    let serving = world.serving(ClientAuth::None);

    let stranger = World::new();
    let (accepted, connected) = shake(&serving, &stranger.client(None), "localhost").await;
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "cert_unknown_ca");
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "peer_cert_unknown_ca");

    let (_, connected) = shake(&serving, &world.client(None), "elsewhere.example").await;
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "other", "the name is wrong, not the issuer");

    let expired = world.ca.server("late", &["localhost"], Lifetime::expired()).unwrap().identity().unwrap();
    let serving = server(vec![expired], ClientAuth::None, &[], TlsVersions::Tls12And13).unwrap();
    let (accepted, connected) = shake(&serving, &world.client(None), "localhost").await;
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "cert_expired");
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "peer_cert_expired");
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_accepts_a_stranger() {
    let (world, stranger) = (World::new(), World::new());
    let policy = ClientPolicy {
        roots: stranger.roots(),
        identity: None,
        alpn: Vec::new(),
        versions: TlsVersions::Tls12And13,
        verify: ServerVerify::None,
    };
    let (accepted, connected) =
        shake(&world.serving(ClientAuth::None), &policy.config().unwrap(), "elsewhere.example").await;
    assert_eq!(accepted.unwrap().alpn, None);
    connected.unwrap();
}

#[tokio::test]
async fn more_than_256_clients_resume() {
    let world = World::new();
    let serving = world.serving(ClientAuth::None);
    let clients: Vec<_> = (0..300).map(|_| world.client(None)).collect();
    for client in &clients {
        let (accepted, connected) = shake(&serving, client, "localhost").await;
        assert!(!accepted.unwrap().resumed);
        connected.unwrap();
    }
    let mut resumed = 0;
    for client in &clients {
        let (accepted, _) = shake(&serving, client, "localhost").await;
        resumed += u32::from(accepted.unwrap().resumed);
    }
    assert_eq!(resumed, 300);
}

#[tokio::test]
async fn a_client_certificate_survives_resumption() {
    let world = World::new();
    let serving = world.serving(ClientAuth::Required(world.roots()));
    let client = world.client(Some(&world.issue(Lifetime::days(1))));
    let (first, connected) = shake(&serving, &client, "localhost").await;
    connected.unwrap();
    let (second, _) = shake(&serving, &client, "localhost").await;
    let second = second.unwrap();
    assert!(second.resumed);
    assert_eq!(second.peer, first.unwrap().peer);
}

#[tokio::test]
async fn a_session_without_a_certificate_does_not_resume_where_one_is_required() {
    let world = World::new();
    let (open, closed) = (world.serving(ClientAuth::None), world.serving(ClientAuth::Required(world.roots())));
    let client = world.client(None);
    let (accepted, connected) = shake(&open, &client, "localhost").await;
    assert!(accepted.is_ok() && connected.is_ok());
    let (accepted, _) = shake(&closed, &client, "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "no_certificate");
}

#[tokio::test]
async fn after_a_reload_sessions_resume_under_an_equal_policy_and_under_no_other() {
    let world = World::new();
    let issued = world.issue(Lifetime::days(1));
    let certificates = Certificates::new(vec![world.server.clone()]).unwrap();
    let names = |revoked: Option<&Issued>| {
        let list = world.ca.revoke("clients", revoked.as_slice(), Lifetime::days(1)).unwrap();
        let roots = world.roots().revoking(Revocation::load(&[list], false, false).unwrap());
        let named = vec![(vec!["localhost".to_owned()], ClientAuth::Required(roots))];
        ServerNames::new(&certificates, ClientAuth::None, named, &["h2"], TlsVersions::Tls12And13).unwrap()
    };
    let before = names(None);
    let client = world.client(Some(&issued));
    let serving = |names: &ServerNames| names.policy(Some("LOCALHOST")).config().clone();
    assert!(!shake(&serving(&before), &client, "localhost").await.0.unwrap().resumed);
    // Read again from the same files: nobody needs to show the certificate again.
    let same = ServerNames::new(
        &certificates,
        ClientAuth::None,
        vec![(vec!["localhost".to_owned()], before_auth(&world))],
        &["h2"],
        TlsVersions::Tls12And13,
    );
    let same = same.unwrap().resuming(&before);
    assert_eq!(same.policy(Some("localhost")), before.policy(Some("localhost")));
    assert!(shake(&serving(&same), &client, "localhost").await.0.unwrap().resumed);
    let stricter = names(Some(&issued)).resuming(&same);
    assert_ne!(stricter.policy(Some("localhost")), same.policy(Some("localhost")));
    let (accepted, _) = shake(&serving(&stricter), &client, "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "cert_revoked");
}

/// What the revocation list on disk says.
fn before_auth(world: &World) -> ClientAuth {
    let list = world.folder.path().join("clients.crl");
    ClientAuth::Required(world.roots().revoking(Revocation::load(&[list], false, false).unwrap()))
}

#[tokio::test]
async fn tls_1_2_is_spoken_to_clients_of_the_proxy_and_refused_by_ingest() {
    let world = World::new();
    let mut store = RootCertStore::empty();
    store.roots.extend(world.roots().store().roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let old = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let old = Arc::new(old);

    let (accepted, _) = shake(&world.serving(ClientAuth::None), &old, "localhost").await;
    assert_eq!(accepted.unwrap().version, Some(ProtocolVersion::TLSv1_2));

    let ingest = server(vec![world.server.clone()], ClientAuth::None, &["h2"], TlsVersions::Tls13Only).unwrap();
    let (accepted, connected) = shake(&ingest, &old, "localhost").await;
    assert_eq!(handshake_failure_reason(&accepted.unwrap_err()), "unsupported_version");
    assert_eq!(handshake_failure_reason(&connected.unwrap_err()), "peer_unsupported_version");
}

#[test]
fn the_provider_can_be_installed_any_number_of_times() {
    tollgate_tls::install_provider();
    tollgate_tls::install_provider();
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}

#[tokio::test]
async fn what_is_not_tls_is_told_from_silence() {
    let world = World::new();
    let serving = world.serving(ClientAuth::None);
    assert_eq!(handshake_failure_reason(&send(&serving, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await), "not_tls");
    assert_eq!(handshake_failure_reason(&send(&serving, b"").await), "closed");
    assert_eq!(handshake_failure_reason(&send(&serving, b"\x16\x03\x01").await), "closed");
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_replaced_while_running() {
    let world = World::new();
    let issue = |name: &str, hosts: &[&str]| world.ca.server(name, hosts, Lifetime::days(1)).unwrap();
    let wild = issue("wild", &["*.api.example"]);
    let exact = issue("exact", &["orders.api.example"]);
    let identities = [&wild, &exact].map(|issued| issued.identity().unwrap());
    let all = vec![world.server.clone(), identities[0].clone(), identities[1].clone()];
    let certificates = Certificates::new(all).unwrap();
    let serving = server_with(certificates.clone(), ClientAuth::None, &[], TlsVersions::Tls12And13).unwrap();
    let client = world.client(None);

    for (name, expected) in [
        ("localhost", &world.server),
        ("127.0.0.1", &world.server),
        ("orders.api.example", &identities[1]),
        ("billing.api.example", &identities[0]),
    ] {
        let (_, connected) = shake(&serving, &client, name).await;
        assert_eq!(&connected.unwrap().server, expected.certificate(), "{name}");
    }
    let unknown = certificates.for_name(Some("a.b.api.example"));
    assert_eq!(unknown, world.server, "a wildcard stands for one label only");

    assert!(!certificates.reload().unwrap(), "nothing has changed");
    std::fs::remove_file(&wild.cert).unwrap();
    assert!(certificates.reload().is_err(), "one file is missing: all stay as they are");
    let renewed = issue("wild", &["*.api.example"]).identity().unwrap();
    assert_ne!(renewed, identities[0]);
    assert!(certificates.reload().unwrap());
    let (_, connected) = shake(&serving, &world.client(None), "billing.api.example").await;
    assert_eq!(&connected.unwrap().server, renewed.certificate());
}

type Authority = (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>);

fn authority(name: &str) -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (certificate, rcgen::Issuer::new(params, key))
}

fn write(cert: PathBuf, cert_pem: &str, key_pem: &str) -> Issued {
    let key = cert.with_extension("key");
    std::fs::write(&cert, cert_pem).unwrap();
    std::fs::write(&key, key_pem).unwrap();
    Issued { cert, key }
}
