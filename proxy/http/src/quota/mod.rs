//! Quotas of connections and requests: of a listener, of a service, and of each client of either.
//!
//! A quota holds for the process: all workers share its counts. A reload keeps the counts of a listener or service of
//! the same name; a rate that changed starts again. A quota that is not set is `None` and costs one comparison. One
//! that is set costs an atomic exchange, and one of clients also the lock of one row of a table: see [`clients`].
//!
//! Bounds of one worker, such as `connections_max` in [`tollgate_proxy_config::Limits`], hold beside these.

pub mod clients;
pub mod principals;
pub mod rate;
pub mod slots;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tollgate_record::vocabulary::ErrorClass;

use self::clients::{ClientConnection, ClientConnections, ClientRates};
use self::principals::PrincipalQuota;
use self::rate::Rate;
use self::slots::{Slot, Slots};
use crate::local_reply::LocalReply;

/// Retry-After of a full service, or of a caller with too many transactions. Nothing tells when one of its transactions will end.
const CONCURRENT_RETRY: Duration = Duration::from_secs(1);

/// Rates of requests, of all clients together and of each.
#[derive(Debug, Clone, Default)]
pub struct RequestQuota {
    /// Of all clients together.
    pub rate: Option<Arc<Rate>>,
    /// Of each client.
    pub client_rates: Option<Arc<ClientRates>>,
}

impl RequestQuota {
    /// Takes one request; `kind` and `name` are for the reply. A client over its own rate takes nothing of the others'.
    ///
    /// # Errors
    /// 429, with the time to wait.
    #[inline]
    pub fn take(&self, (kind, name): (&str, &str), client: IpAddr, now: Instant) -> Result<(), LocalReply> {
        if let Some(rates) = &self.client_rates {
            let over = |wait| limited(format!("the client is over its request rate for {kind} {name}"), wait);
            rates.take(client, now).map_err(over)?;
        }
        if let Some(rate) = &self.rate {
            rate.take(now).map_err(|wait| limited(format!("{kind} {name} is at its request rate"), wait))?;
        }
        Ok(())
    }
}

/// Quotas of a listener.
#[derive(Debug, Clone, Default)]
pub struct ListenerQuota {
    /// Open connections, and the most of them.
    pub connections: Option<(Arc<Slots>, u64)>,
    /// Open connections of each client, and the most of them.
    pub client_connections: Option<(Arc<ClientConnections>, u64)>,
    /// Requests.
    pub requests: RequestQuota,
}

/// A connection's share of its listener's quotas, held for as long as the connection lives.
#[derive(Debug, Default)]
pub struct Admitted {
    _slot: Option<Slot>,
    _client: Option<ClientConnection>,
}

impl Admitted {
    /// Counts the connection for `client` from now on: a PROXY header names the client only after the connection was
    /// admitted.
    ///
    /// # Errors
    /// The quota that is reached, as in the metric's label.
    pub fn serves(
        &mut self,
        caps: &ListenerQuota,
        client: IpAddr,
        shared: impl FnOnce() -> bool,
    ) -> Result<(), &'static str> {
        self._client = caps.admit_client(client, shared)?;
        Ok(())
    }
}

impl ListenerQuota {
    /// Admits a connection of `peer`. `shared` returns whether many clients come from that address, which then has no
    /// quota of a client.
    ///
    /// # Errors
    /// The quota that is reached, as in the metric's label.
    pub fn admit(&self, peer: IpAddr, shared: impl FnOnce() -> bool) -> Result<Admitted, &'static str> {
        let _client = self.admit_client(peer, shared)?;
        let slot = match &self.connections {
            Some((slots, max)) => Some(slots.take(*max).ok_or("listener")?),
            None => None,
        };
        Ok(Admitted { _slot: slot, _client })
    }

    fn admit_client(
        &self,
        client: IpAddr,
        shared: impl FnOnce() -> bool,
    ) -> Result<Option<ClientConnection>, &'static str> {
        match &self.client_connections {
            Some((connections, max)) if !shared() => connections.open(client, *max).ok_or("client").map(Some),
            _ => Ok(None),
        }
    }
}

/// Quotas of a service.
#[derive(Debug, Clone, Default)]
pub struct ServiceQuota {
    /// Transactions in progress, tunnels too, and the most of them.
    pub concurrent: Option<(Arc<Slots>, u64)>,
    /// Requests.
    pub requests: RequestQuota,
    /// Of each verified caller; `None` = none is set.
    pub principals: Option<Arc<PrincipalQuota>>,
}

impl ServiceQuota {
    /// Takes one request of the service `name`, and a slot for its transaction.
    ///
    /// # Errors
    /// 503 if too many are in progress, 429 if a rate is reached; each with Retry-After.
    #[inline]
    pub fn take(&self, name: &str, client: IpAddr, now: Instant) -> Result<Option<Slot>, LocalReply> {
        let slot = match &self.concurrent {
            Some((slots, max)) => Some(slots.take(*max).ok_or_else(|| {
                let detail = format!("service {name} is at its concurrent_max of {max}");
                LocalReply { status: StatusCode::SERVICE_UNAVAILABLE, ..limited(detail, CONCURRENT_RETRY) }
            })?),
            None => None,
        };
        self.requests.take(("service", name), client, now)?;
        Ok(slot)
    }
}

fn limited(detail: String, wait: Duration) -> LocalReply {
    let reply = LocalReply::gateway(StatusCode::TOO_MANY_REQUESTS, ErrorClass::RateLimited, detail);
    LocalReply { retry_after: Some(wait), ..reply }
}
