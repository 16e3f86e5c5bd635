//! Which tokens are a consumer's: those of a subject, or of a client.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_proxy_auth::{Consumer, Principal};
use tollgate_record::vocabulary::AuthPattern;

use crate::providers::{Caller, Provider};

/// Names in one provider's tokens, and whose they are.
type Names = HashMap<Box<str>, Arc<Consumer>>;

/// Which tokens are a consumer's, by the provider's name.
#[derive(Debug, Default)]
pub struct TokenOwners {
    providers: HashMap<Box<str>, (Names, Names)>,
}

impl TokenOwners {
    /// Says that the tokens of a subject are the consumer's.
    ///
    /// # Errors
    /// They are another's already, who is named.
    pub fn add_subject(&mut self, provider: &str, subject: &str, consumer: &Arc<Consumer>) -> Result<(), Arc<str>> {
        add(&mut self.providers.entry(provider.into()).or_default().0, subject, consumer)
    }

    /// Says that the tokens of a client are the consumer's.
    ///
    /// # Errors
    /// They are another's already, who is named.
    pub fn add_client(&mut self, provider: &str, client: &str, consumer: &Arc<Consumer>) -> Result<(), Arc<str>> {
        add(&mut self.providers.entry(provider.into()).or_default().1, client, consumer)
    }

    /// The verified caller of a token: its consumer, if it is one's, with the groups of both. A provider's
    /// `consumer_claim` names a consumer that the configuration need not know.
    #[must_use]
    pub fn principal(&self, pattern: AuthPattern, provider: &Provider, caller: &Caller) -> Principal {
        let owner = self.providers.get(&*provider.settings.name).and_then(|(subjects, clients)| {
            let by = |names: &Names, name: &Option<Arc<str>>| names.get(&**name.as_ref()?).cloned();
            by(subjects, &caller.subject)
                .or_else(|| by(clients, &caller.consumer))
                .or_else(|| by(clients, &caller.client))
        });
        let mut principal = Principal {
            issuer: Some(caller.issuer.clone()),
            subject: caller.subject.clone().or_else(|| caller.client.clone()),
            consumer: caller.consumer.clone(),
            credential_id: caller.credential_id.clone(),
            groups: caller.groups.clone(),
            ..Principal::of(pattern)
        };
        if let Some(owner) = owner {
            principal.consumer = Some(owner.name.clone());
            principal.groups = owner.groups.clone();
            caller.groups.iter().for_each(|group| principal.add_group(group.clone()));
        }
        principal
    }
}

fn add(names: &mut Names, name: &str, consumer: &Arc<Consumer>) -> Result<(), Arc<str>> {
    match names.insert(name.into(), consumer.clone()) {
        Some(other) => Err(other.name.clone()),
        None => Ok(()),
    }
}
