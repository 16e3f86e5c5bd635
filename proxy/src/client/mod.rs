//! The side of the clients: listeners, TLS, the protocols, and what is known of a connection.

pub mod connection;
pub mod handshake;
pub mod http1;
pub mod idle;
pub mod misdirected;
pub mod proxy_header;
pub mod read_readiness;
pub mod server;
pub mod tls_stream;
