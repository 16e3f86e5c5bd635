//! Caps on connections and requests: of a listener, of a service, and of each client of either.
//!
//! They hold for the process: their counts are shared by all workers, in the plan, and a reload takes them over where
//! the listener or service has the same name (rates only where they are the same rates, else they begin anew). A cap
//! that is not set is `None`, and costs one comparison. A cap that is set costs an atomic exchange, and one of clients
//! the lock of one row of a table: see [`clients`].
//!
//! What has its own bound in [`tollgate_proxy_config::Limits`] for each worker, as `connections_max`, holds beside them.

pub mod clients;
pub mod rate;
pub mod slots;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tollgate_record::vocabulary::ErrorClass;

use self::clients::{ClientConnection, ClientConnections, ClientRates};
use self::rate::Rate;
use self::slots::{Slot, Slots};
use crate::local_reply::LocalReply;

/// When to come back where nobody can know when there is room.
const CONCURRENT_RETRY: Duration = Duration::from_secs(1);

/// Rates of requests, of all clients together and of each.
#[derive(Debug, Clone, Default)]
pub struct RequestQuota {
    /// Of all together.
    pub rate: Option<Arc<Rate>>,
    /// Of each client.
    pub client_rates: Option<Arc<ClientRates>>,
}

impl RequestQuota {
    /// Takes one request; `kind` and `name` say what is capped. A client over its own rate takes nothing of the others'.
    ///
    /// # Errors
    /// 429, with the time to wait.
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

/// Caps of a listener.
#[derive(Debug, Clone, Default)]
pub struct ListenerQuota {
    /// Open connections, and how many there may be.
    pub connections: Option<(Arc<Slots>, u64)>,
    /// The same for each client.
    pub client_connections: Option<(Arc<ClientConnections>, u64)>,
    /// Requests.
    pub requests: RequestQuota,
}

/// What a connection holds of its listener's caps.
#[derive(Debug, Default)]
pub struct Admitted {
    _slot: Option<Slot>,
    _client: Option<ClientConnection>,
}

impl Admitted {
    /// Counts the connection for `client` from now on, who was not known when it was admitted.
    ///
    /// # Errors
    /// The cap that is reached, as in the metric's label.
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
    /// Admits a connection of `peer`; `shared` says that many clients come from there, so that it is not counted as one.
    ///
    /// # Errors
    /// The cap that is reached, as in the metric's label.
    pub fn admit(&self, peer: IpAddr, shared: impl FnOnce() -> bool) -> Result<Admitted, &'static str> {
        let _client = self.admit_client(peer, shared)?;
        let slot = match &self.connections {
            Some((slots, max)) => Some(slots.take(*max).ok_or("listener")?),
            None => None,
        };
        Ok(Admitted { _slot: slot, _client })
    }

    /// What a connection holds of the cap on its client's.
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

/// Caps of a service.
#[derive(Debug, Clone, Default)]
pub struct ServiceQuota {
    /// Transactions that go on, tunnels too, and how many there may be.
    pub concurrent: Option<(Arc<Slots>, u64)>,
    /// Requests.
    pub requests: RequestQuota,
}

impl ServiceQuota {
    /// Takes one request of the service `name`, and the place of its transaction.
    ///
    /// # Errors
    /// 503 where too many go on, 429 where a rate is reached; each says when to come back.
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
    let refusal = LocalReply::gateway(StatusCode::TOO_MANY_REQUESTS, ErrorClass::RateLimited, detail);
    LocalReply { retry_after: Some(wait), ..refusal }
}
