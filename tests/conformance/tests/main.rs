//! The proxy against raw bytes, its peers, other people's conformance programs, and clients of other makers.

mod http1;
