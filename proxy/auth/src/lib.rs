//! Who called, and whether they may: the decision over several methods of authentication on one route.
//!
//! ```text
//! method ─▶ Outcome: absent, failed, succeeded, unavailable ─┐
//! method ─▶ Outcome ─────────────────────────────────────────┴─▶ Requirement::decide ─▶ Verdict ─▶ Access::decide
//!                                                                 any_of, all_of, optional          allow, deny
//! ```
//! * A method looks at a request and says one of four things: [`Outcome`]. It does not know the other methods of the
//!   route.
//! * [`Requirement`] holds how the methods of a route are combined, and decides over their outcomes: [`Verdict`].
//! * [`Principal`] is who called. Groups need no consumer: a token's issuer may name them.
//! * [`Consumers`] are the callers that the configuration knows, found by API key, login or certificate.
//! * [`Access`] decides by group, consumer and issuer; `deny` wins.
//!
//! Invariant: this crate does no I/O and knows no clock, connection or thread. Whoever calls it verifies what takes
//! long (passwords, signatures) where nobody waits for it.

mod access;
pub mod api_key;
mod certificate;
mod consumer;
mod outcome;
pub mod password;
mod principal;
mod requirement;

pub use access::{Access, AccessList, Decision};
pub use certificate::{CertificateFacts, Selector};
pub use consumer::{Consumer, Consumers, Login, Taken};
pub use outcome::{Failure, Outcome};
pub use principal::Principal;
pub use requirement::{Combination, Refusal, Requirement, Verdict};
