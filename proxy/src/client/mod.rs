//! The side of the clients: listeners, the PROXY header, TLS, and the protocols. Each request goes to
//! [`crate::transaction::handle`].

mod clients;
mod handshake;
mod http1;
mod http2;
mod idle;
mod protocols;
mod proxy_header;
mod server;

pub use clients::Clients;
pub use server::Server;
