//! The configuration file of the proxy: its keys, their meaning, their defaults.
//!
//! ```text
//! proxy.yaml ──┐
//! include: … ──┴─▶ load ─▶ Loaded<ProxyConfig> ─▶ compiled and checked by tollgate-proxy's `plan`
//!                              one module a section, named as its key is
//! ```
//! * [`ProxyConfig`] is the file as it is written. Each section is a struct of its own with serde's names, which are
//!   the keys of the file; every default stands beside its key.
//! * Unknown keys, duplicate keys and wrong types are errors of the types here. What needs more than one value to be
//!   judged (a route without its service, an address that is there twice) is judged where the configuration is
//!   compiled.
//! * [`load`] reads one file or several as one configuration.
//!
//! Invariant: this crate knows no state. No socket, counter, certificate or thread of a proxy that runs is named here,
//! so that a tool can read and compare configurations without one.

mod admin;
mod auth;
mod caps;
mod client_tls;
mod consumer;
mod file;
mod files;
mod forwarding;
mod health;
mod hmac;
mod http2;
mod identity;
mod key_pair;
mod limits;
mod listener;
mod policy;
mod proxy_protocol;
mod records;
mod route;
mod service;
mod target;
mod trace;

pub use admin::Admin;
pub use auth::{AccessNames, ApiKeyPlace, Auth, AuthMethod, Forward, ProviderUse};
pub use caps::{ListenerCaps, ServiceCaps};
pub use client_tls::{ClientAuth, ClientCrl, CrlGap, ListenerTls, NamedAuth, TlsVersion};
pub use consumer::{ApiKey, BasicLogin, CertificateName, Consumer, HmacSecret, TokenName};
pub use file::ProxyConfig;
pub use files::{load, parse};
pub use forwarding::{ClientCertFields, Forwarding};
pub use health::{Active, AllOut, Health, Passive};
pub use hmac::Hmac;
pub use http2::Http2;
pub use identity::{Assertion, Audiences, Identity, Introspection, KeySource, Provider, ProviderTls};
pub use key_pair::KeyPair;
pub use limits::{Limits, Retries, Timeouts};
pub use listener::Listener;
pub use policy::{Addresses, Correlation, Cors, Respond, RouteCaps};
pub use proxy_protocol::{AcceptProxyProtocol, AcceptedVersion, ProxyProtocol};
pub use records::{CollectorTls, Overflow, Records, Spool};
pub use route::{HeaderEditing, HeaderMatch, Route, RouteTimeouts};
pub use service::{Balance, Protocol, Service, ServiceTls, UpstreamHost, Verify};
pub use target::Target;
pub use trace::Trace;

fn default_true() -> bool {
    true
}
