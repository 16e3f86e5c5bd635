//! What one method of authentication finds in a request.

use std::sync::Arc;

use tollgate_record::vocabulary::AuthFailReason;

use crate::Principal;

/// What one method finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request has no credential of this method.
    Absent,
    /// It has one, and the one is refused.
    Failed(Failure),
    /// It has one, and it is a caller's.
    Succeeded(Box<Principal>),
    /// It has one, and nobody who could judge it answers: a provider that is down, a pool that is full. The text says
    /// who, for the record; it holds nothing of the credential.
    Unavailable(String),
}

/// A credential that was presented and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: AuthFailReason,
    /// One sentence for the record; it holds nothing of the credential.
    pub detail: String,
    /// Whose it would be, where that is proved: an expired key of a consumer, not a name with a wrong password.
    pub consumer: Option<Arc<str>>,
    /// Which credential it is, where that is known.
    pub credential_id: Option<Arc<str>>,
}

impl Failure {
    /// Makes a failure of a credential whose owner is not known.
    #[must_use]
    pub fn new(reason: AuthFailReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), consumer: None, credential_id: None }
    }
}

impl Outcome {
    /// Makes the outcome of a refused credential whose owner is not known.
    #[must_use]
    pub fn failed(reason: AuthFailReason, detail: impl Into<String>) -> Self {
        Self::Failed(Failure::new(reason, detail))
    }
}
