//! Bounds that errors name.

/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Keys of a set, of any kind.
pub const KEYS_MAX: usize = 100;
