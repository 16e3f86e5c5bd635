//! TLS for both processes: rustls with aws-lc-rs, certificates by SNI, client certificates, reload, and reasons.
//!
//! * [`Identity`] is a certificate chain with its key, checked to belong together when it is loaded.
//! * [`server`] makes a server configuration; [`Certificates`] picks the identity by SNI and can be replaced while
//!   connections run.
//! * [`ServerNames`] says which certificate clients must show, by the name that they ask for; [`Revocation`] lists the
//!   certificates that are trusted no longer.
//! * [`ClientPolicy`] says how a client proves itself and which roots it trusts. It compares by value, so that it can
//!   be part of a pool's key; [`client`] makes a configuration for the usual policy.
//! * [`PeerCertificate`] is what a record says about a certificate; [`handshake_failure_reason`] is what it says about
//!   a handshake that failed.
//! * [`Rotating`] follows the files of a configuration, so that certificates change without a restart.
//! * `TlsStream` (feature `stream`) is the server's end of a connection, with buffers only while something is in them.
//!
//! Two defaults of rustls are traps, and are handled here. A server configuration resumes nothing past its cache of
//! 256 sessions: [`server`] gives it a ticketer. And a ticketer shared between configurations lets a session that was
//! opened without a client certificate resume where one is required: every configuration gets a ticketer of its own.

use std::sync::OnceLock;

mod certificates;
mod client;
mod error;
mod failure;
mod identity;
mod name_table;
mod names;
mod peer;
mod pem;
mod revocation;
mod roots;
mod rotation;
mod server;
#[cfg(feature = "stream")]
mod tls_stream;

pub use certificates::Certificates;
pub use client::{ClientPolicy, ServerVerify, client};
pub use error::TlsError;
pub use failure::handshake_failure_reason;
pub use identity::{Identity, ValidityWarning};
pub use names::{ServerNames, ServerPolicy};
pub use peer::{PeerCertificate, PeerCertificateError};
pub use revocation::Revocation;
pub use roots::Roots;
pub use rotation::{Rotating, Rotation};
pub use server::{ClientAuth, TlsVersions, server, server_with};
#[cfg(feature = "stream")]
pub use tls_stream::TlsStream;

/// Makes aws-lc-rs the process's TLS provider. It can be called any number of times.
///
/// A process calls it before anything else: dependencies compile ring in as well, and of two providers rustls picks
/// none.
pub fn install_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // The only error is that a provider is installed already, which is harmless: this crate names its provider
        // itself.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

pub(crate) fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
