//! Who called.

use std::sync::Arc;

use tollgate_record::vocabulary::AuthPattern;

/// A verified caller.
///
/// A consumer of the configuration, a subject that an issuer vouches for, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The method that verified it.
    pub pattern: AuthPattern,
    /// Who vouches for it, exactly as in `iss`; `None` = the configuration does.
    pub issuer: Option<Arc<str>>,
    /// The issuer's name of it, as in `sub`.
    pub subject: Option<Arc<str>>,
    /// Name of the consumer, if the credential belongs to one.
    pub consumer: Option<Arc<str>>,
    /// Which of its credentials; never the secret.
    pub credential_id: Option<Arc<str>>,
    /// Its groups: of the consumer, then of the token, each once.
    pub groups: Vec<Arc<str>>,
}

impl Principal {
    /// Makes a principal of which only the method is known.
    #[must_use]
    pub fn of(pattern: AuthPattern) -> Self {
        Self { pattern, issuer: None, subject: None, consumer: None, credential_id: None, groups: Vec::new() }
    }

    /// Returns whether two credentials are of one caller: of the same consumer, or, without a consumer on both sides, of
    /// the same subject of the same issuer.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.consumer, &other.consumer) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self.subject.is_some() && (&self.issuer, &self.subject) == (&other.issuer, &other.subject),
            _ => false,
        }
    }

    /// Returns whether two credentials of one request can belong together: an application's certificate and the token
    /// of its user do, the credentials of two consumers do not, and neither do those of two subjects.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        let differ =
            |one: &Option<Arc<str>>, other: &Option<Arc<str>>| matches!((one, other), (Some(a), Some(b)) if a != b);
        if differ(&self.consumer, &other.consumer) {
            return false;
        }
        let both = self.subject.is_some() && other.subject.is_some();
        !both || (&self.issuer, &self.subject) == (&other.issuer, &other.subject)
    }

    /// Adds what another credential of the same request says: the facts that this one lacks, and its groups.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        if self.subject.is_none() {
            (self.issuer, self.subject) = (other.issuer, other.subject);
        }
        self.consumer = self.consumer.or(other.consumer);
        self.credential_id = self.credential_id.or(other.credential_id);
        for group in other.groups {
            self.add_group(group);
        }
        self
    }

    /// Adds a group, unless it is there.
    pub fn add_group(&mut self, group: Arc<str>) {
        if !self.groups.contains(&group) {
            self.groups.push(group);
        }
    }

    /// Returns the name by which rates and concurrency are counted: of the consumer, else of the issuer's subject, else
    /// of the credential. No two callers have the same one.
    #[must_use]
    pub fn identity(&self) -> (u8, &str, &str) {
        let issuer = self.issuer.as_deref().unwrap_or_default();
        match (&self.consumer, &self.subject, &self.credential_id) {
            (Some(consumer), _, _) => (0, "", consumer),
            (None, Some(subject), _) => (1, issuer, subject),
            (None, None, credential) => (2, issuer, credential.as_deref().unwrap_or_default()),
        }
    }
}
