//! Compiles TLS towards clients.

use tollgate_config::{ConfigPath, Diagnostics, Spanned};
use tollgate_proxy_config::{ClientAuth, ClientCrl, CrlGap, ListenerTls, TlsVersion};
use tollgate_tls::{Certificates, Revocation, Roots, ServerNames, TlsVersions};

use super::compile::{identity, noted};

/// Reads every file of a listener and builds its policies.
pub(super) fn server_tls(
    tls: &ListenerTls,
    listener: &Spanned<String>,
    problems: &mut Diagnostics<'_>,
) -> Option<ServerNames> {
    if tls.certificates.is_empty() {
        problems.at(listener, "the listener has tls without certificates; name at least one certificate and its key");
    }
    let identities: Vec<_> = tls.certificates.iter().filter_map(|pair| identity(pair, problems)).collect();
    let asked = Asked { auth: tls.client_auth, ca: tls.client_ca.as_ref(), crl: tls.client_crl.as_ref() };
    let default = asked.policy(listener, problems);
    let mut named = Vec::new();
    for entry in &tls.names {
        let Some(first) = entry.names.first() else {
            problems.at(listener, "an entry of tls.names lists no name; write at least one");
            continue;
        };
        entry.names.iter().for_each(|name| check_name(name, problems));
        let asked = Asked { auth: entry.client_auth, ca: entry.client_ca.as_ref(), crl: entry.client_crl.as_ref() };
        let names = entry.names.iter().map(|name| name.value.clone()).collect();
        named.extend(asked.policy(first, problems).map(|policy| (names, policy)));
    }
    if identities.len() < tls.certificates.len() || identities.is_empty() || named.len() < tls.names.len() {
        return None;
    }
    let alpn: &[&str] = if tls.http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
    let versions = match tls.min_version {
        TlsVersion::V1_2 => TlsVersions::Tls12And13,
        TlsVersion::V1_3 => TlsVersions::Tls13Only,
    };
    let certificates = noted(listener, Certificates::new(identities), problems)?;
    noted(listener, ServerNames::new(&certificates, default?, named, alpn, versions), problems)
}

fn check_name(name: &Spanned<String>, problems: &mut Diagnostics<'_>) {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    if host.is_empty() || host.starts_with('.') || !host.bytes().all(allowed) {
        let cure = "write a host name without port, or `*.` before one";
        problems.at(name, format!("`{}` is not a server name; {cure}", name.value));
    }
}

/// What one place of the file requires of clients.
struct Asked<'a> {
    auth: ClientAuth,
    ca: Option<&'a Spanned<ConfigPath>>,
    crl: Option<&'a ClientCrl>,
}

impl Asked<'_> {
    fn policy(&self, place: &Spanned<String>, problems: &mut Diagnostics<'_>) -> Option<tollgate_tls::ClientAuth> {
        let roots = self.ca.and_then(|ca| noted(ca, Roots::load(ca), problems));
        let crl = self.crl.map(|crl| revocation(crl, place, problems));
        if self.auth == ClientAuth::None {
            if let Some(ca) = self.ca {
                problems
                    .at(ca, "client_ca has no effect without client_auth; write `client_auth: optional` or `required`");
            } else if self.crl.is_some() {
                problems.at(
                    place,
                    "client_crl has no effect without client_auth; write `client_auth: optional` or `required`",
                );
            }
            return Some(tollgate_tls::ClientAuth::None);
        }
        if self.ca.is_none() {
            problems.at(place, "client_auth needs client_ca; name the PEM file with the clients' authorities");
        }
        let roots = match crl {
            Some(revocation) => roots?.revoking(revocation?),
            None => roots?,
        };
        Some(match self.auth {
            ClientAuth::Required => tollgate_tls::ClientAuth::Required(roots),
            _ => tollgate_tls::ClientAuth::Optional(roots),
        })
    }
}

fn revocation(crl: &ClientCrl, place: &Spanned<String>, problems: &mut Diagnostics<'_>) -> Option<Revocation> {
    let files: Vec<&ConfigPath> = crl.files.iter().map(|file| &file.value).collect();
    let loaded = Revocation::load(&files, crl.unknown == CrlGap::Accept, crl.expired == CrlGap::Accept);
    let revocation = match crl.files.first() {
        Some(first) => noted(first, loaded, problems),
        None => noted(place, loaded, problems),
    }?;
    let now_s = tollgate_clock::now_us() / 1_000_000;
    if revocation.next_update_s().is_some_and(|due| due < now_s) {
        let file = revocation.file().display();
        tracing::warn!(%file, "a revocation list should have been renewed; fetch a new one");
    }
    Some(revocation)
}
