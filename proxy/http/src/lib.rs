//! HTTP as a proxy sees it: the meaning of a request, and the changes that a proxy makes to it on the way. No I/O.
//!
//! ```text
//! bytes ─▶ proxy_protocol ─▶ h2_flood          who connected; whether the frames are a flood
//! head  ─▶ header_flags ─▶ normalize ─▶ canonical_path     one unambiguous request, or a LocalReply
//!              └─▶ forwarding, forwarded, client_cert, trace     the client, and the fields that tell upstreams of it
//!       ─▶ routing ─▶ quota ─▶ rewrite, header_edits             the route, its quotas, and the head that is sent
//! ```
//! * Functions depend on their arguments alone. The counts of [`quota`] and [`h2_flood`] belong to the caller who holds
//!   them, and the caller passes the time.
//! * Every parser of bytes from the network makes promises for all inputs. They are functions beside the parser
//!   (`promises.rs`), which a property test and a fuzz target in `fuzz/` both drive.
//! * A refused request is a [`local_reply::LocalReply`]: status, class and a sentence. The transaction sends it.
//!
//! Invariant: this crate has no I/O. It depends on neither tokio nor hyper, and on no clock but
//! [`std::time::Instant`].

pub mod canonical_path;
pub mod cidr;
pub mod client_cert;
pub mod cors;
pub mod field_kinds;
pub mod forwarded;
pub mod forwarding;
pub mod h2_flood;
pub mod head_copy;
pub mod header_edits;
pub mod header_flags;
pub mod local_reply;
pub mod normalize;
pub mod principal_fields;
pub mod proxy_protocol;
pub mod quota;
pub mod rewrite;
pub mod routing;
#[cfg(test)]
mod test_words;
pub mod trace;
