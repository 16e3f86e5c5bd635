//! Server configurations.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::{Certificates, Identity, Roots, TlsError, provider};

/// Whether a client must show a certificate, may show one, or is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    None,
    /// A client without a certificate is let in; a client with one that these roots do not vouch for is refused.
    Optional(Roots),
    /// A client without a certificate that these roots vouch for is refused.
    Required(Roots),
}

/// The protocol versions of a configuration. rustls implements none that is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3: for the clients of the proxy, and its upstreams.
    Tls12And13,
    /// TLS 1.3 alone: between our own processes.
    Tls13Only,
}

static TLS12_AND_13: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

impl TlsVersions {
    pub(crate) fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            TlsVersions::Tls12And13 => &TLS12_AND_13,
            TlsVersions::Tls13Only => &TLS13_ONLY,
        }
    }
}

/// Makes a server configuration for these identities; the first is the default.
///
/// `alpn` is in order of preference; without any, ALPN is not negotiated.
///
/// # Errors
/// There is no identity, or the roots cannot be used.
pub fn server(
    identities: Vec<Identity>,
    client_auth: ClientAuth,
    alpn: &[&str],
    versions: TlsVersions,
) -> Result<Arc<ServerConfig>, TlsError> {
    server_with(Certificates::new(identities)?, client_auth, alpn, versions)
}

/// Makes a configuration as [`server`] does, with identities that the caller keeps and can replace while connections
/// run.
///
/// A new policy for client certificates needs a new configuration: it gets a ticketer of its own, so that no session
/// from before can resume under it.
///
/// # Errors
/// The roots cannot be used.
pub fn server_with(
    certificates: Arc<Certificates>,
    client_auth: ClientAuth,
    alpn: &[&str],
    versions: TlsVersions,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions.supported())
        .map_err(|error| TlsError::Refused(error.to_string()))?;
    let mut config = builder.with_client_cert_verifier(verifier(client_auth)?).with_cert_resolver(certificates);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ticketer = Ticketer::new().map_err(|error| TlsError::Refused(error.to_string()))?;
    Ok(Arc::new(config))
}

fn verifier(client_auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (roots, optional) = match client_auth {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Optional(roots) => (roots, true),
        ClientAuth::Required(roots) => (roots, false),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(roots.store().clone(), provider());
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    let builder = match roots.revocation() {
        None => builder,
        Some(revocation) => {
            let builder = builder.with_crls(revocation.lists());
            let builder = if revocation.accept_unknown { builder.allow_unknown_revocation_status() } else { builder };
            if revocation.accept_expired { builder } else { builder.enforce_revocation_expiration() }
        }
    };
    builder.build().map_err(|error| TlsError::Refused(format!("{}: {error}", roots.file().display())))
}
