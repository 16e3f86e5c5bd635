//! HTTP as a proxy sees it: what a request means, what may pass on, and what is added on the way. No I/O.
//!
//! ```text
//! bytes ─▶ proxy_protocol ─▶ h2_flood          who connected; whether the frames are a flood
//! head  ─▶ header_flags ─▶ normalize ─▶ canonical_path     one unambiguous request, or a LocalReply
//!              └─▶ forwarding, forwarded, client_cert, trace     who the client is, and what upstreams are told
//!       ─▶ routing ─▶ quota ─▶ rewrite, header_edits             which route, whether it may, and what is sent
//! ```
//! * Everything here is a function of its arguments. The state that there is (the counts of [`quota`] and of
//!   [`h2_flood`]) belongs to whoever holds the value, and time comes in as an argument.
//! * Whatever reads bytes from the network promises something for all of them. The promises are functions beside the
//!   parser (`promises.rs`); a property test and a fuzz target in `fuzz/` drive the same ones.
//! * A refusal is a [`local_reply::LocalReply`]: status, class and a sentence. Nothing here sends it.
//!
//! Invariant: this crate has no I/O. It depends on neither tokio nor hyper, and on no clock but
//! [`std::time::Instant`].

pub mod canonical_path;
pub mod cidr;
pub mod client_cert;
pub mod field_kinds;
pub mod forwarded;
pub mod forwarding;
pub mod h2_flood;
pub mod head_copy;
pub mod header_edits;
pub mod header_flags;
pub mod local_reply;
pub mod normalize;
pub mod proxy_protocol;
pub mod quota;
pub mod rewrite;
pub mod routing;
#[cfg(test)]
mod test_words;
pub mod trace;
