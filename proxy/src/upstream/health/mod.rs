//! What observes the health of upstreams: transactions ([`passive`]) and the checks' thread ([`active`]). What they
//! observe is kept in [`crate::health`].

pub mod active;
pub mod passive;
