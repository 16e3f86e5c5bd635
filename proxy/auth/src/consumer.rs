//! The callers that the configuration knows, found by their credentials.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_record::vocabulary::{AuthFailReason, AuthPattern};

use crate::api_key::{Digest, digest, same};
use crate::certificate::{CertificateFacts, Selector};
use crate::password::PasswordHash;
use crate::{Failure, Outcome, Principal};

/// A caller that the configuration knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: Arc<str>,
    /// Its groups.
    pub groups: Vec<Arc<str>>,
}

/// One credential of a consumer.
#[derive(Debug, Clone)]
struct Owned<T> {
    consumer: Arc<Consumer>,
    id: Arc<str>,
    /// Microseconds since 1970; `None` = never.
    expires_us: Option<i64>,
    credential: T,
}

/// A name and a password, found by the name.
#[derive(Debug, Clone)]
pub struct Login {
    owned: Owned<Arc<PasswordHash>>,
}

/// The credential is another consumer's, or there twice. Displayed, it names whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The consumer that has it.
    pub consumer: Arc<str>,
    /// The credential's id there.
    pub id: Arc<str>,
}

/// The callers that the configuration knows.
#[derive(Debug, Default)]
pub struct Consumers {
    by_name: HashMap<Arc<str>, Arc<Consumer>>,
    /// By the first bytes of the hash, so that comparing the whole takes the same time for all.
    keys: HashMap<u64, Vec<Owned<Digest>>>,
    logins: HashMap<Box<str>, Login>,
    certificates: HashMap<Selector, Owned<()>>,
    /// What a password of a name that nobody has is compared with.
    dummy: Option<Arc<PasswordHash>>,
}

impl Consumer {
    /// The consumer as a verified caller, by this credential.
    #[must_use]
    pub fn principal(&self, pattern: AuthPattern, credential_id: Arc<str>) -> Principal {
        let (consumer, credential_id) = (Some(self.name.clone()), Some(credential_id));
        Principal { consumer, credential_id, groups: self.groups.clone(), ..Principal::of(pattern) }
    }
}

impl<T> Owned<T> {
    fn outcome(&self, pattern: AuthPattern, now_us: i64) -> Outcome {
        if self.expires_us.is_some_and(|end| end <= now_us) {
            let failure = Failure::new(AuthFailReason::Expired, "the credential has expired");
            let (consumer, credential_id) = (Some(self.consumer.name.clone()), Some(self.id.clone()));
            return Outcome::Failed(Failure { consumer, credential_id, ..failure });
        }
        Outcome::Succeeded(Box::new(self.consumer.principal(pattern, self.id.clone())))
    }

    fn taken(&self) -> Taken {
        Taken { consumer: self.consumer.name.clone(), id: self.id.clone() }
    }
}

impl Consumers {
    /// Adds a consumer. The last of several of one name wins: the caller reports them.
    pub fn add(&mut self, name: &str, groups: Vec<Arc<str>>) -> Arc<Consumer> {
        let consumer = Arc::new(Consumer { name: Arc::from(name), groups });
        self.by_name.insert(consumer.name.clone(), consumer.clone());
        consumer
    }

    /// Returns the consumer of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Consumer>> {
        self.by_name.get(name)
    }

    /// Adds an API key by its SHA-256.
    ///
    /// # Errors
    /// The key is there already.
    pub fn add_key(
        &mut self,
        consumer: &Arc<Consumer>,
        id: &str,
        sha256: Digest,
        expires_us: Option<i64>,
    ) -> Result<(), Taken> {
        let row = self.keys.entry(prefix(&sha256)).or_default();
        if let Some(other) = row.iter().find(|other| other.credential == sha256) {
            return Err(other.taken());
        }
        row.push(Owned { consumer: consumer.clone(), id: Arc::from(id), expires_us, credential: sha256 });
        Ok(())
    }

    /// Adds a name with its password.
    ///
    /// # Errors
    /// The name is there already.
    pub fn add_login(
        &mut self,
        consumer: &Arc<Consumer>,
        user: &str,
        hash: PasswordHash,
        expires_us: Option<i64>,
    ) -> Result<(), Taken> {
        if let Some(other) = self.logins.get(user) {
            return Err(other.owned.taken());
        }
        let hash = Arc::new(hash);
        // The dearest hash of all: an unknown name takes no less time than a known one.
        if self.dummy.as_ref().is_none_or(|dummy| dummy.cost() < hash.cost()) {
            self.dummy = Some(hash.clone());
        }
        let owned = Owned { consumer: consumer.clone(), id: Arc::from(user), expires_us, credential: hash };
        self.logins.insert(user.into(), Login { owned });
        Ok(())
    }

    /// Adds what a certificate of the consumer has.
    ///
    /// # Errors
    /// It is there already.
    pub fn add_certificate(&mut self, consumer: &Arc<Consumer>, selector: Selector) -> Result<(), Taken> {
        if let Some(other) = self.certificates.get(&selector) {
            return Err(other.taken());
        }
        let id = Arc::from(selector.to_string());
        let owned = Owned { consumer: consumer.clone(), id, expires_us: None, credential: () };
        self.certificates.insert(selector, owned);
        Ok(())
    }

    /// Judges an API key.
    #[must_use]
    pub fn key(&self, key: &[u8], now_us: i64) -> Outcome {
        let presented = digest(key);
        let row = self.keys.get(&prefix(&presented)).map_or(&[][..], Vec::as_slice);
        match row.iter().find(|stored| same(&stored.credential, &presented)) {
            Some(stored) => stored.outcome(AuthPattern::ApiKey, now_us),
            None => Outcome::failed(AuthFailReason::Unknown, "no consumer has this API key"),
        }
    }

    /// Returns the login of a name.
    #[must_use]
    pub fn login(&self, user: &str) -> Option<&Login> {
        self.logins.get(user)
    }

    /// Returns what the password of an unknown name is compared with; `None` = there is no login at all.
    #[must_use]
    pub fn dummy(&self) -> Option<&Arc<PasswordHash>> {
        self.dummy.as_ref()
    }

    /// Judges a verified client certificate: by its fingerprint, its alternative names, its common name. All that is
    /// known of it must be of one consumer.
    #[must_use]
    pub fn certificate(&self, facts: &CertificateFacts<'_>) -> Outcome {
        let mut found: Option<&Owned<()>> = None;
        for selector in facts.selectors() {
            let Some(owned) = self.certificates.get(&selector) else { continue };
            match found {
                Some(first) if first.consumer.name != owned.consumer.name => {
                    let detail = "the client certificate names two consumers";
                    return Outcome::failed(AuthFailReason::Conflict, detail);
                }
                Some(_) => {}
                None => found = Some(owned),
            }
        }
        match found {
            Some(owned) => owned.outcome(AuthPattern::Mtls, i64::MIN),
            None => Outcome::failed(AuthFailReason::Unknown, "no consumer has this client certificate"),
        }
    }
}

impl Login {
    /// The hash of its password.
    #[must_use]
    pub fn hash(&self) -> &Arc<PasswordHash> {
        &self.owned.credential
    }

    /// Judges the login once its password is verified.
    #[must_use]
    pub fn verified(&self, now_us: i64) -> Outcome {
        self.owned.outcome(AuthPattern::Basic, now_us)
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "consumer `{}` has it already, as `{}`", self.consumer, self.id)
    }
}

fn prefix(sha256: &Digest) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&sha256[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
