//! The PROXY protocol: what a proxy tells the next server about the client, before anything else on a connection.
//!
//! Source: the PROXY protocol specification, versions 1 and 2 (HAProxy project, 2020).

pub mod encode;
