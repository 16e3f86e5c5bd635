//! Finds or makes the connection for one exchange.

use std::time::{Duration, Instant};

use tollgate_proxy_config::{Protocol, ProxyProtocol};
use tollgate_record::vocabulary::ErrorClass;

use crate::upstream::dial;
use crate::upstream::dns::Resolver;
use crate::upstream::facts::Stage;
use crate::upstream::lease::Ends;
use crate::upstream::shared::Dialer;
use crate::upstream::slot::{Bounds, Slot};
use crate::upstream::{Lease, Pool, SendBody, UpstreamError, UpstreamFacts};

/// Makes the connections of one worker.
#[derive(Debug)]
pub struct Connector {
    /// Times of socket facts count from here.
    pub(super) epoch: Instant,
    pub(super) resolver: Resolver,
}

/// The kind of connection that an exchange wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whether pooled connections are excluded.
    pub fresh: bool,
    /// Whether the connection will switch protocols.
    pub tunnel: bool,
    /// The client, and the address that it connected to.
    pub client: Ends,
    /// Time to resolve, connect and shake hands.
    pub patience: Duration,
    /// About now; age and idle time of pooled connections are measured by it.
    pub now: Instant,
}

impl Connector {
    /// A resolver's answer is used for `dns_cache`, and for `dns_stale` while the resolver fails.
    #[must_use]
    pub fn new(epoch: Instant, dns_cache: Duration, dns_stale: Duration) -> Self {
        Self { epoch, resolver: Resolver::new(dns_cache, dns_stale) }
    }

    /// Changes how long resolved names are used.
    pub fn remember_names_for(&self, dns_cache: Duration, dns_stale: Duration) {
        self.resolver.remember_for(dns_cache, dns_stale);
    }

    /// Closes what has been idle in the pool for too long, is too old, or leads to an address that its name lost.
    pub fn sweep<B: SendBody>(&self, pool: &Pool<B>) {
        pool.sweep(&self.resolver);
    }

    /// Leases a connection to `upstream`, and notes how long each step took.
    ///
    /// # Errors
    /// There is no connection. Nothing was sent.
    pub async fn lease<B: SendBody>(
        &self,
        pool: &Pool<B>,
        upstream: usize,
        wanted: &Wanted,
        facts: &mut UpstreamFacts,
    ) -> Result<Box<Lease<B>>, UpstreamError> {
        let slot = pool.slot(upstream);
        let client = (slot.upstream().key.proxy_protocol != ProxyProtocol::None).then_some(wanted.client);
        if !wanted.fresh
            && let Some(lease) = pool.take(upstream, client, wanted.now).await
        {
            return Ok(lease);
        }
        let deadline = Instant::now() + wanted.patience;
        let pending_until = Instant::now() + pool.bounds().pending;
        loop {
            // A connection that begins with another client's PROXY header is of no use here.
            let dialing = slot.dialing.borrow().clone().filter(|_| !wanted.fresh && !wanted.tunnel && client.is_none());
            if let Some(dialing) = dialing {
                facts.enter(Stage::Connect);
                let ended = tokio::time::timeout_at(deadline.into(), dialing.ended()).await;
                facts.leave();
                match ended.map_err(|_| UpstreamError::connect_timeout())? {
                    // The dialling request may have had less time than this one has, so its timeout is not this one's.
                    Err(error) if !error.timed_out => return Err(error),
                    _ => {}
                }
            } else if let Some(open) = pool.open(upstream) {
                let dialer = (is_shared(slot) && !wanted.tunnel && client.is_none()).then(|| Dialer::begin(slot));
                // Boxed: otherwise every transaction's future has room for a dial that few of them make.
                let dialled = Box::pin(dial::dial(self, pool, upstream, wanted, deadline, open, facts)).await;
                if let (Some(dialer), Err(error)) = (&dialer, &dialled) {
                    dialer.failed(error);
                }
                return dialled;
            } else if !(wanted.fresh || wanted.tunnel || client.is_some()) || !slot.evict() {
                wait(pool.bounds(), slot, pending_until).await?;
            } else {
                // The evicted connection ends in a task of its own, and frees its place there.
                tokio::task::yield_now().await;
                wait_for_place(slot, pool.bounds(), pending_until).await?;
            }
            if !wanted.fresh
                && let Some(lease) = pool.take(upstream, client, Instant::now()).await
            {
                return Ok(lease);
            }
        }
    }
}

/// Whether connections to the upstream carry several exchanges, as far as is known.
fn is_shared<B: SendBody>(slot: &Slot<B>) -> bool {
    match slot.upstream().key.protocol {
        Protocol::Http1 => false,
        Protocol::Http2 => true,
        Protocol::Auto => slot.spoke_http2.get().unwrap_or(true),
    }
}

/// Waits until a connection or a place may be free.
async fn wait<B: SendBody>(bounds: &Bounds, slot: &Slot<B>, until: Instant) -> Result<(), UpstreamError> {
    let name = &slot.upstream().state.name;
    let detail = match slot.wait(bounds, until).await {
        Some(true) => return Ok(()),
        Some(false) => {
            format!("all {} connections to {name} are in use, and none became free in time", bounds.open_max)
        }
        None => format!("{} requests wait for a connection to {name} already", bounds.pending_max),
    };
    Err(UpstreamError::gateway(ErrorClass::NoHealthyUpstream, detail))
}

/// Waits for the place of an evicted connection, unless it is free already.
async fn wait_for_place<B: SendBody>(slot: &Slot<B>, bounds: &Bounds, until: Instant) -> Result<(), UpstreamError> {
    match slot.places().has_room(bounds.open_max) {
        true => Ok(()),
        false => wait(bounds, slot, until).await,
    }
}
