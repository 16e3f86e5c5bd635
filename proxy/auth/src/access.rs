//! Who may use a route: `allow` and `deny`, by group, consumer and issuer.
//!
//! * `deny` wins over `allow`.
//! * With an `allow`, whoever is not on it is denied: an `allow` that is empty denies everybody.
//! * Without one, whoever is not on `deny` is allowed.
//! * Names are compared as they are, byte by byte.

use std::collections::HashSet;

use tollgate_record::vocabulary::AclDecision;

use crate::Principal;

/// Names on one list.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// Groups.
    pub groups: HashSet<String>,
    /// Consumers.
    pub consumers: HashSet<String>,
    /// Issuers, as in `iss`.
    pub issuers: HashSet<String>,
}

/// The lists of a route.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who may; `None` = everybody.
    pub allow: Option<AccessList>,
    /// Who may not.
    pub deny: Option<AccessList>,
}

/// A decision, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What stands in the record.
    pub decision: AclDecision,
    /// What decided: `group partners is on allow`.
    pub because: String,
}

impl AccessList {
    /// Returns what puts a caller on the list; `None` = nothing does. A caller without an identity is on no list.
    #[must_use]
    pub fn finds(&self, principal: Option<&Principal>) -> Option<String> {
        let principal = principal?;
        if let Some(group) = principal.groups.iter().find(|group| self.groups.contains(&***group)) {
            return Some(format!("group {group}"));
        }
        if let Some(consumer) = principal.consumer.as_ref().filter(|name| self.consumers.contains(&***name)) {
            return Some(format!("consumer {consumer}"));
        }
        let issuer = principal.issuer.as_ref().filter(|issuer| self.issuers.contains(&***issuer))?;
        Some(format!("issuer {issuer}"))
    }
}

impl Access {
    /// Decides over a caller; `None` = an anonymous one.
    #[must_use]
    pub fn decide(&self, principal: Option<&Principal>) -> Decision {
        if let Some(found) = self.deny.as_ref().and_then(|deny| deny.finds(principal)) {
            return Decision { decision: AclDecision::Deny, because: format!("{found} is on deny") };
        }
        let Some(allow) = &self.allow else {
            let decision = if self.deny.is_some() { AclDecision::Allow } else { AclDecision::None };
            return Decision { decision, because: "nothing of the caller is on deny".to_owned() };
        };
        match allow.finds(principal) {
            Some(found) => Decision { decision: AclDecision::Allow, because: format!("{found} is on allow") },
            None => Decision { decision: AclDecision::Deny, because: "nothing of the caller is on allow".to_owned() },
        }
    }
}
