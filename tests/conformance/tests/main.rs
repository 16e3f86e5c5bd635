//! The proxy against raw bytes, its peers, other people's conformance programs, and clients of other makers.

mod clients;
mod grpc;
mod h2spec;
mod http1;
mod peers;
mod smugglex;
mod websocket;
