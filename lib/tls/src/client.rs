//! Client configurations.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{Identity, Roots, TlsError, TlsVersions, provider};

/// Sessions of one server: rustls keeps up to 8 tickets of each.
const SESSIONS_OF_ONE_SERVER: usize = 8;

/// What a client asks of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerVerify {
    /// A chain to the roots, valid now, for the name that was asked for.
    Full,
    /// Nothing. The connection is encrypted, but its other end is unknown: for an upstream that cannot be repaired.
    None,
}

/// How a client proves itself and which roots it trusts. Policies compare by value: connections may be shared exactly
/// when their policies are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientPolicy {
    /// Authorities of servers.
    pub roots: Roots,
    /// The certificate that the client shows if it is asked for one.
    pub identity: Option<Identity>,
    /// Application protocols, in order of preference; empty: ALPN is not negotiated.
    pub alpn: Vec<String>,
    /// Protocol versions.
    pub versions: TlsVersions,
    /// What the client asks of the server's certificate.
    pub verify: ServerVerify,
}

impl ClientPolicy {
    /// Makes a configuration for this policy, with a session store of its own. The caller keeps one for each policy:
    /// sessions resume only within one configuration.
    ///
    /// # Errors
    /// rustls refuses the combination.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions.supported())
            .map_err(|error| TlsError::Refused(error.to_string()))?;
        let builder = match self.verify {
            ServerVerify::Full => builder.with_root_certificates(self.roots.store().clone()),
            ServerVerify::None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(algorithms))),
        };
        let mut config = match &self.identity {
            Some(identity) => {
                let resolver = rustls::sign::SingleCertAndKey::from(identity.certified_key().clone());
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Makes a [`ClientPolicy::config`] for connections to one server name; sessions of a second name would displace
    /// those of the first. The general store takes 15 kB, too much where each of thousands of servers has its own
    /// configuration.
    ///
    /// # Errors
    /// rustls refuses the combination.
    pub fn config_to_one_server(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = Arc::unwrap_or_clone(self.config()?);
        config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_ONE_SERVER);
        Ok(Arc::new(config))
    }
}

/// Makes a client that verifies servers against the bundle in `roots`, or else against the system's, and shows
/// `identity` if it is asked for a certificate. It speaks TLS 1.2 and 1.3; [`ClientPolicy`] has the other choices.
///
/// # Errors
/// The bundle cannot be loaded.
pub fn client(roots: Option<&Path>, identity: Option<Identity>, alpn: &[&str]) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match roots {
        Some(file) => Roots::load(file)?,
        None => Roots::system()?,
    };
    let alpn = alpn.iter().map(|name| (*name).to_owned()).collect();
    let policy = ClientPolicy { roots, identity, alpn, versions: TlsVersions::Tls12And13, verify: ServerVerify::Full };
    policy.config()
}

/// Accepts any certificate, but still checks that the server holds its key: the handshake itself stays sound.
#[derive(Debug)]
struct AnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
