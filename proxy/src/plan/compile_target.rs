//! Compiles targets as written to upstream identities: address, protocol and TLS.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::HeaderValue;
use rustls_pki_types::ServerName;
use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::{KeyPair, Protocol, Service, ServiceTls, Target, Verify};
use tollgate_tls::{ClientPolicy, Identity, Roots, ServerVerify, TlsVersions};

use super::compile::{identity, noted};
use super::{Endpoint, RuntimeConfig, TargetConfig, UpstreamConfig, UpstreamKey};
use crate::health::{Check, CheckRule, UpstreamState};

/// The largest weight of a target.
const WEIGHT_MAX: u32 = 100;
/// Upstream identities. Each is there once, however many services name it.
pub(super) struct Upstreams<'a> {
    pub(super) compiled: Vec<Arc<UpstreamConfig>>,
    by_key: HashMap<UpstreamKey, usize>,
    before: HashMap<&'a UpstreamKey, &'a Arc<UpstreamConfig>>,
}

impl<'a> Upstreams<'a> {
    /// Begins without identities. Those that `before` has too are taken from it, with their TLS sessions.
    pub(super) fn after(before: Option<&'a RuntimeConfig>) -> Self {
        let before = before.map_or(&[][..], |before| &before.upstreams);
        let before = before.iter().map(|upstream| (&upstream.key, upstream)).collect();
        Self { compiled: Vec::new(), by_key: HashMap::new(), before }
    }

    fn intern(&mut self, key: UpstreamKey) -> Result<usize, tollgate_tls::TlsError> {
        if let Some(index) = self.by_key.get(&key) {
            return Ok(*index);
        }
        let upstream = match self.before.get(&key) {
            Some(upstream) => Arc::clone(upstream),
            None => {
                let tls = key.tls.as_ref().map(|(policy, _)| policy.config_to_one_server()).transpose()?;
                let http1 = |policy: &ClientPolicy| ClientPolicy { alpn: alpn(Protocol::Http1), ..policy.clone() };
                let tls_http1 = match (&key.tls, key.protocol) {
                    (Some((policy, _)), Protocol::Auto) => Some(http1(policy).config_to_one_server()?),
                    _ => tls.clone(),
                };
                let state = UpstreamState::new(key.endpoint.to_string());
                Arc::new(UpstreamConfig { key: key.clone(), tls, tls_http1, state })
            }
        };
        let index = self.compiled.len();
        self.by_key.insert(key, index);
        self.compiled.push(upstream);
        Ok(index)
    }
}

/// TLS files of services. Thousands of services name the same few files, each of which is read once.
#[derive(Default)]
pub(super) struct TlsFiles {
    /// Authorities by file; `None` = the system's.
    roots: HashMap<Option<PathBuf>, Result<Roots, String>>,
    /// Identities by certificate and key.
    identities: HashMap<[PathBuf; 2], Identity>,
}

impl TlsFiles {
    fn roots(&mut self, file: Option<&Path>) -> Result<Roots, String> {
        let load = || file.map_or_else(Roots::system, Roots::load).map_err(|error| error.to_string());
        self.roots.entry(file.map(Path::to_owned)).or_insert_with(load).clone()
    }

    fn identity(&mut self, pair: &KeyPair, problems: &mut Diagnostics<'_>) -> Option<Identity> {
        let files = [pair.certificate.to_path_buf(), pair.key.to_path_buf()];
        match self.identities.get(&files) {
            Some(identity) => Some(identity.clone()),
            None => Some(self.identities.entry(files).or_insert(identity(pair, problems)?).clone()),
        }
    }
}

/// Compiles one target of a service.
pub(super) fn target(
    service: &Service,
    text: &Spanned<Target>,
    rule: Option<&CheckRule>,
    files: &mut TlsFiles,
    upstreams: &mut Upstreams<'_>,
    problems: &mut Diagnostics<'_>,
) -> Option<TargetConfig> {
    if !(1..=WEIGHT_MAX).contains(&text.weight) {
        problems.at(text, format!("a weight is 1 to {WEIGHT_MAX}; to use a target not at all, remove it"));
    }
    let (endpoint, tls, host) = match text.url.strip_prefix("unix:") {
        Some(path) => (noted(text, unix_endpoint(path), problems)?, None, "localhost".to_owned()),
        None => {
            let (https, host, port) = noted(text, target_parts(&text.url), problems)?;
            let tls = match https {
                true => Some(client_policy(service, text, &host, files, problems)?),
                false => None,
            };
            let default_port = if https { 443 } else { 80 };
            let field = if port == default_port { host.clone() } else { format!("{host}:{port}") };
            (Endpoint::Tcp(host.trim_matches(['[', ']']).to_owned(), port), tls, field)
        }
    };
    let host = noted(text, HeaderValue::from_str(&host), problems)?;
    let protocol = match (service.protocol, &tls) {
        // Plaintext negotiates nothing: `auto` and `http1` are one identity there.
        (Protocol::Auto, None) => Protocol::Http1,
        (protocol, _) => protocol,
    };
    let key = UpstreamKey { endpoint, tls, protocol, proxy_protocol: service.proxy_protocol };
    let upstream = noted(text, upstreams.intern(key), problems)?;
    let check = rule.map(|rule| Check::of(&upstreams.compiled[upstream].state, rule, &host));
    Some(TargetConfig { upstream, host, weight: text.weight, check })
}

fn unix_endpoint(path: &str) -> Result<Endpoint, String> {
    let wrong = |why: &str| format!("`unix:{path}` {why}; write `unix:/path/to/socket`");
    if !Path::new(path).is_absolute() {
        return Err(wrong("is not an absolute path"));
    }
    // The kernel's bound: `sockaddr_un` has 108 bytes, of which the last is 0.
    if path.len() > 107 {
        return Err(wrong("is longer than a socket's path can be"));
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

/// Reads whether a target is https, its host, and its port.
pub(super) fn target_parts(text: &str) -> Result<(bool, String, u16), String> {
    let wrong = |why: &str| format!("`{text}` {why}; write `http://host:port` or `https://host:port`");
    let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("has no scheme http or https")),
    };
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(wrong("has a path, which targets cannot have"));
    }
    let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(|| wrong("has no plain host"))?;
    let host = authority.host();
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    if authority.port().is_some() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("has no valid port"));
    }
    Ok((https, host.to_ascii_lowercase(), authority.port_u16().unwrap_or(if https { 443 } else { 80 })))
}

fn client_policy(
    service: &Service,
    text: &Spanned<Target>,
    host: &str,
    files: &mut TlsFiles,
    problems: &mut Diagnostics<'_>,
) -> Option<(ClientPolicy, ServerName<'static>)> {
    let tls: &ServiceTls = &service.tls;
    let roots = match &tls.ca {
        Some(ca) => noted(ca, files.roots(Some(ca)), problems)?,
        None => noted(text, files.roots(None), problems)?,
    };
    let identity = match &tls.client {
        Some(pair) => Some(files.identity(pair, problems)?),
        None => None,
    };
    let server_name = match &tls.server_name {
        Some(name) => noted(name, server_name(name), problems)?,
        None => noted(text, server_name(host), problems)?,
    };
    let verify = match tls.verify {
        Verify::Full => ServerVerify::Full,
        Verify::None => {
            tracing::warn!(service = service.name.value, "the certificates of its upstreams are not verified");
            ServerVerify::None
        }
    };
    let (alpn, versions) = (alpn(service.protocol), TlsVersions::Tls12And13);
    Some((ClientPolicy { roots, identity, alpn, versions, verify }, server_name))
}

fn alpn(protocol: Protocol) -> Vec<String> {
    let names: &[&str] = match protocol {
        Protocol::Http1 => &["http/1.1"],
        Protocol::Http2 => &["h2"],
        Protocol::Auto => &["h2", "http/1.1"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let name = host.trim_matches(['[', ']']).to_owned();
    ServerName::try_from(name).map_err(|_| format!("`{host}` is not a name that a certificate can carry; write one"))
}
