//! Connections opened ahead of their use, one at a time for each upstream identity.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tollgate_proxy_config::ProxyProtocol;

use crate::upstream::{Connector, Pool, SendBody, UpstreamFacts, Wanted, dial};

/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Connections prewarmed at one time, over all identities.
const AT_ONE_TIME_MAX: usize = 32;

/// Starts one more connection to each target that has fewer idle ones than its service asks for.
pub fn prewarm<B: SendBody>(connector: &Rc<Connector>, pool: &Rc<Pool<B>>) {
    let mut begun = 0;
    for service in pool.prewarmed.iter().map(|index| &pool.config.services[*index]) {
        for target in &service.targets {
            let slot = pool.slot(target.upstream);
            let wanted = service.warm_connections.min(pool.bounds().idle_max);
            let later = slot.warm_after.get().is_some_and(|after| Instant::now() < after);
            // A connection that begins with a client's PROXY header cannot be opened before there is a client.
            let possible = slot.upstream().key.proxy_protocol == ProxyProtocol::None;
            if later || !possible || slot.warming.get() || slot.ready() >= wanted || begun >= AT_ONE_TIME_MAX {
                continue;
            }
            begun += 1;
            slot.warming.set(true);
            tokio::task::spawn_local(open_one(connector.clone(), pool.clone(), target.upstream));
        }
    }
}

async fn open_one<B: SendBody>(connector: Rc<Connector>, pool: Rc<Pool<B>>, upstream: usize) {
    let slot = pool.slot(upstream);
    let patience = pool.config.file.timeouts.connect.0;
    let nobody = ([0, 0, 0, 0], 0).into();
    let wanted = Wanted { fresh: true, tunnel: false, client: (nobody, nobody), patience, now: Instant::now() };
    if let Some(open) = pool.open(upstream) {
        let (deadline, mut facts) = (Instant::now() + patience, UpstreamFacts::default());
        match dial::dial(&connector, &pool, upstream, &wanted, deadline, open, &mut facts).await {
            Ok(lease) => pool.keep_ready(lease, Instant::now()),
            // The error is dropped: the next request that needs a connection will report it in its record.
            Err(_) => slot.warm_after.set(Some(Instant::now() + RETRY)),
        }
    }
    slot.warming.set(false);
}
