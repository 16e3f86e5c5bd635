//! Who called: the methods of a route, groups, access, and what of it is told to upstreams and to records.
//!
//! ```text
//! table.rs          each method × what is presented × how methods are combined: answer and record
//! access.rs         allow and deny
//! configuration.rs  what is refused, warned of, reloaded, explained
//! secrets.rs        what must stand nowhere; what goes upstream
//! ```

mod access;
mod configuration;
mod secrets;
mod table;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConnection, StreamOwned};
use tollgate_demo_ca::Lifetime;
use tollgate_proxy_auth::api_key::digest;
use tollgate_proxy_auth::password::PasswordHash;

use crate::rig::{Gate, PATIENCE, Setup, Upstream};

/// Credentials in plain text. The configuration has their hashes.
pub const KEY: &str = "acme-key-4f1c9a7e2b";
pub const OLD_KEY: &str = "acme-old-key-77aa01";
pub const OTHER_KEY: &str = "other-key-91be44d0";
pub const PASSWORD: &str = "correct horse battery";
pub const OLD_PASSWORD: &str = "staple of last year";
pub const OTHER_PASSWORD: &str = "another horse";

/// The stored hashes of passwords: making one takes time.
static HASHES: LazyLock<[String; 3]> = LazyLock::new(|| {
    [PASSWORD, OLD_PASSWORD, OTHER_PASSWORD].map(|password| PasswordHash::of(password.as_bytes()).unwrap())
});

pub fn sha256(key: &str) -> String {
    digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two consumers: `acme` in group `partners`, with a credential of each kind and one that has expired, and `other`.
pub fn consumers() -> String {
    let [password, old, other] = &*HASHES;
    let (key, old_key, other_key) = (sha256(KEY), sha256(OLD_KEY), sha256(OTHER_KEY));
    format!(
        "consumers:
  - name: acme
    groups: [partners, testers]
    api_keys:
      - {{id: k1, sha256: {key}}}
      - {{id: k0, sha256: {old_key}, expires: \"2020-01-31T00:00:00Z\"}}
    basic:
      - {{user: acme, argon2: \"{password}\"}}
      - {{user: acme-old, argon2: \"{old}\", expires: \"2020-01-31T00:00:00Z\"}}
    certificates: [{{san_dns: acme.example.com}}]
  - name: other
    groups: [others]
    api_keys: [{{id: o1, sha256: {other_key}}}]
    basic: [{{user: other, argon2: \"{other}\"}}]
    certificates: [{{cn: other}}]
"
    )
}

/// A gate whose route `/api` has these keys, in front of this upstream.
pub fn gate(upstream: &Upstream, route: &str, extra: &str) -> Gate {
    let targets = [format!("http://{}", upstream.addr)];
    let route: String = route.lines().map(|line| format!("    {line}\n")).collect();
    let extra = format!("{}{extra}", consumers());
    Gate::with(&Setup { targets: &targets, route: &route, extra: &extra, ..Setup::default() })
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// One request over TLS, with the certificate of this name and DNS name, and with these fields.
pub fn ask(gate: &Gate, certificate: Option<(&str, &str)>, path: &str, fields: &str) -> String {
    let identity = certificate.map(|(name, dns)| {
        let issued = gate.ca.client(name, name, &[dns], Lifetime::days(1)).unwrap();
        issued.identity().unwrap()
    });
    tollgate_tls::install_provider();
    let config: Arc<_> = tollgate_tls::client(Some(gate.ca.roots()), identity, &["http/1.1"]).unwrap();
    let stream = TcpStream::connect(gate.tls).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _closed_without_alert = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
