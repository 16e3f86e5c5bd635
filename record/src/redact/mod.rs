//! Redaction: what may leave the proxy, and in what form.
//!
//! | data | what the record keeps |
//! |---|---|
//! | path | itself, with what looks like an e-mail address, a UUID, a long number or a token as `{redacted}` |
//! | query | its keys; its values only where a route allows the key by name, and never those of [`query::ALWAYS_DENIED`] |
//! | headers | nothing, or those allowed by name, and never those of [`headers::ALWAYS_DENIED`] |
//! | credentials | HMAC-SHA256 under a keyed secret, and the key's id |
//! | control characters | escaped (CWE-117) |
//!
//! Every function appends to a buffer that the caller passes, so that a proxy reuses it and allocates nothing, and bounds what it
//! appends.

pub mod headers;
pub mod path;
pub mod query;
pub mod text;
pub mod token;

pub use headers::Headers;
pub use path::scrub_path;
pub use query::QueryPolicy;
pub use text::clean;
pub use token::TokenHasher;

/// Replaces a segment of a path.
pub const REDACTED_SEGMENT: &str = "{redacted}";
/// Replaces a value of a query.
pub const REDACTED_VALUE: &str = "REDACTED";
