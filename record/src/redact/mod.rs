//! What may leave the proxy, and in what shape.
//!
//! | data | what the record keeps |
//! |---|---|
//! | path | itself, with what looks like an e-mail address, a UUID, a long number or a token as `{redacted}` |
//! | query | its keys; its values only where a route allows the key by name, and never those of [`query::ALWAYS_DENIED`] |
//! | headers | nothing, or those allowed by name, and never those of [`headers::ALWAYS_DENIED`] |
//! | credentials | HMAC-SHA256 under a keyed secret, and the key's id |
//! | control characters | escaped (CWE-117) |
//!
//! All functions append to a buffer of the caller's, so that a proxy can reuse it and allocate nothing. All bound what they
//! append.

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

/// What stands for a part of a path that was taken out.
pub const REDACTED_SEGMENT: &str = "{redacted}";
/// What stands for a value that was taken out.
pub const REDACTED_VALUE: &str = "REDACTED";
