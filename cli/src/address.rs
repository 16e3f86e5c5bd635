//! Addresses that commands use unless the command line or the environment names others.

/// The HTTP query server of a collector on this machine.
pub const QUERIES: &str = "http://127.0.0.1:8088";
