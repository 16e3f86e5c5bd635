//! Quotas of each verified caller of a service, and of each caller from each address.
//!
//! The tables are those of [`super::clients`], by a keyed hash of the caller's identity: 64 bits under a random key. That
//! any two of 65,536 callers share an entry has a chance of one in 2³³ (n²/2 pairs over 2⁶⁴).

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tollgate_proxy_auth::Principal;

use super::clients::{ClientConnection, ClientConnections, ClientRates, Key, key_of};
use super::{CONCURRENT_RETRY, limited};
use crate::local_reply::LocalReply;

/// Keys the hashes of all callers.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Quotas of one kind of caller: whoever it is, or whoever from wherever.
#[derive(Debug, Clone, Default)]
pub struct CallerQuota {
    /// Requests a second of each.
    pub rates: Option<Arc<ClientRates>>,
    /// Transactions in progress of each, and the most of them.
    pub concurrent: Option<(Arc<ClientConnections>, u64)>,
}

/// Quotas of the verified callers of a service.
#[derive(Debug, Clone, Default)]
pub struct PrincipalQuota {
    /// Of each caller.
    pub each: CallerQuota,
    /// Of each caller from each address.
    pub each_client: CallerQuota,
}

/// A caller's share of the quotas of its transactions in progress, held until the transaction ends.
#[derive(Debug, Default)]
pub struct Held {
    _each: Option<ClientConnection>,
    _each_client: Option<ClientConnection>,
}

impl CallerQuota {
    /// Whether nothing is capped.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rates.is_none() && self.concurrent.is_none()
    }

    fn take(
        &self,
        key: Key,
        (who, service): (&str, &str),
        now: Instant,
    ) -> Result<Option<ClientConnection>, LocalReply> {
        let held = match &self.concurrent {
            Some((table, max)) => Some(table.open_of(key, *max).ok_or_else(|| {
                let detail =
                    format!("{who} has {max} transactions with service {service} in progress, the most allowed");
                limited(detail, CONCURRENT_RETRY)
            })?),
            None => None,
        };
        if let Some(rates) = &self.rates {
            let over = |wait| limited(format!("{who} is over its request rate for service {service}"), wait);
            rates.take_of(key, now).map_err(over)?;
        }
        Ok(held)
    }
}

impl PrincipalQuota {
    /// Takes one request of a caller, and its share of what is in progress.
    ///
    /// # Errors
    /// 429, with the time to wait.
    pub fn take(&self, service: &str, principal: &Principal, client: IpAddr, now: Instant) -> Result<Held, LocalReply> {
        let identity = principal.identity();
        let each_client = if self.each_client.is_none() {
            None
        } else {
            let key = HASHER.hash_one((identity, key_of(client)));
            self.each_client.take(key, ("the caller at this address", service), now)?
        };
        let each = self.each.take(HASHER.hash_one(identity), ("the caller", service), now)?;
        Ok(Held { _each: each, _each_client: each_client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::rate::Pace;
    use tollgate_record::vocabulary::AuthPattern;

    fn consumer(name: &str) -> Principal {
        Principal { consumer: Some(Arc::from(name)), ..Principal::of(AuthPattern::ApiKey) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_caller_has_its_own_rate_wherever_it_comes_from() {
        let rates = Some(Arc::new(ClientRates::new(Pace::new(0.001, 2), 1_024)));
        let quota = PrincipalQuota { each: CallerQuota { rates, concurrent: None }, ..PrincipalQuota::default() };
        let now = Instant::now();
        let take = |name: &str, client: &str| quota.take("api", &consumer(name), ip(client), now).map(drop);
        assert!(take("a", "192.0.2.1").is_ok() && take("a", "192.0.2.2").is_ok());
        let reply = take("a", "192.0.2.3").unwrap_err();
        assert_eq!(reply.status, 429);
        assert_eq!(reply.detail, "the caller is over its request rate for service api");
        assert!(take("b", "192.0.2.1").is_ok());
    }

    #[test]
    fn a_caller_has_so_many_in_progress_from_each_address_and_gives_them_back() {
        let concurrent = Some((Arc::new(ClientConnections::new(1_024)), 1));
        let quota =
            PrincipalQuota { each_client: CallerQuota { rates: None, concurrent }, ..PrincipalQuota::default() };
        let now = Instant::now();
        let take = |name: &str, client: &str| quota.take("api", &consumer(name), ip(client), now);
        let held = take("a", "192.0.2.1").unwrap();
        assert!(take("a", "192.0.2.1").is_err());
        let _elsewhere = take("a", "192.0.2.2").unwrap();
        let _other = take("b", "192.0.2.1").unwrap();
        drop(held);
        assert!(take("a", "192.0.2.1").is_ok());
    }

    #[test]
    fn a_consumer_a_subject_and_a_credential_of_one_name_are_three_callers() {
        let of = |fill: fn(&mut Principal)| {
            let mut principal = Principal::of(AuthPattern::Jwt);
            fill(&mut principal);
            HASHER.hash_one(principal.identity())
        };
        let keys = [
            of(|principal| principal.consumer = Some(Arc::from("a"))),
            of(|principal| principal.subject = Some(Arc::from("a"))),
            of(|principal| principal.credential_id = Some(Arc::from("a"))),
            of(|principal| (principal.issuer, principal.subject) = (Some(Arc::from("a")), Some(Arc::from("")))),
        ];
        for (nth, key) in keys.iter().enumerate() {
            assert!(!keys[nth + 1..].contains(key), "{nth}");
        }
    }
}
