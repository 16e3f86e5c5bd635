//! Conformance of the proxy, shown by cases in files and by other people's programs.
//!
//! ```text
//! cases/*.yaml      raw HTTP/1 bytes, the answer they must get, and the bytes that must reach the upstream
//! expected/*.yaml   what differs on purpose: from nginx, from HAProxy, from h2spec's opinion
//! python/*.py       clients and servers of other makers: gRPC, WebSocket
//! tests/            one runner for each of these
//! ```
//! Everything runs against the real `tollgate-proxy` binary over real sockets; its records are read back from its
//! spool, so that what a client saw and what was recorded can be compared. A difference that is listed and does not
//! occur any more is an error, as is one that occurs and is not listed.

pub mod bytes;
pub mod case;
pub mod exchange;
pub mod gate;
pub mod listed;
pub mod message;
pub mod origin;
pub mod outcome;
pub mod peer;
pub mod python;
pub mod records;
pub mod tool;
