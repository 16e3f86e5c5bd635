//! Issuers of tokens as all workers share them: their keys, the tokens that were verified, the questions to them.
//!
//! ```text
//! worker ─▶ Tokens: verified here, or answered by the issuer, less than 60 s ago
//!      └──▶ Provider::verify ─▶ Keys ─▶ signature and claims ─▶ Caller
//!      │                           └─ unknown kid: one search in 10 s ─▶ wake ─┐
//!      └──▶ Provider::ask ─▶ Question ─────────────────────────────────────────┤
//!                                                                              ▼
//!                              crate::issuers: the thread that asks issuers, for all workers
//! ```
//! A provider belongs to its settings: a reload hands it to the next configuration as long as they are equal, with its
//! keys and tokens.
//!
//! Bounds: [`keys::KEYS_AGE_MAX`] for the last good set; [`keys::SEARCH_EVERY`] between two searches for unknown keys;
//! [`keys::WAIT_MAX`] and [`keys::WAITERS_MAX`] for requests that wait for an issuer; [`tokens::TOKENS_MAX`] tokens of one
//! provider, each for [`tokens::TOKEN_AGE_MAX_S`] at most; [`provider::QUESTIONS_MAX`] questions that wait.
//!
//! Signatures are verified on the worker where that should take less than 100 µs (RSA up to 3,072 bits, P-256, Ed25519), and
//! on the runtime's pool of blocking threads otherwise, [`provider::EXPENSIVE_MAX`] of one provider at one time.

mod caller;
mod keys;
mod provider;
mod tokens;

pub use caller::Caller;
pub use keys::Keys;
pub use provider::{Fault, IntrospectionSettings, KeySource, Provider, ProviderSettings, Question, now_s};
pub use tokens::Tokens;
