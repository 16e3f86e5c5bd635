//! Connections made ready ahead of their use, one at a time for each upstream identity.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::ProxyProtocol;
use crate::runtime::worker::Worker;
use crate::transaction::UpstreamFacts;
use crate::upstream::{Wanted, dial};
use crate::worker_plan::WorkerPlan;

/// Wait after one could not be made.
const RETRY: Duration = Duration::from_secs(5);
/// How many are made ready at one time, over all identities.
const AT_ONE_TIME_MAX: usize = 32;

/// Makes one more connection ready for each target that has fewer than its service asks for.
pub fn up(worker: &Rc<Worker>, plan: &Rc<WorkerPlan>) {
    let mut begun = 0;
    for service in plan.warm.iter().map(|index| &plan.services[*index]) {
        for target in &service.targets {
            let slot = plan.pool.slot(target.upstream);
            let wanted = service.warm_connections.min(plan.pool.bounds().idle_max);
            let later = slot.warm_after.get().is_some_and(|after| Instant::now() < after);
            // A connection that begins with a client's address cannot be made before the client is there.
            let possible = slot.upstream().key.proxy_protocol == ProxyProtocol::None;
            if later || !possible || slot.warming.get() || slot.ready() >= wanted || begun >= AT_ONE_TIME_MAX {
                continue;
            }
            begun += 1;
            slot.warming.set(true);
            tokio::task::spawn_local(one(worker.clone(), plan.clone(), target.upstream));
        }
    }
}

async fn one(worker: Rc<Worker>, plan: Rc<WorkerPlan>, upstream: usize) {
    let slot = plan.pool.slot(upstream);
    let patience = plan.config.timeouts.connect.0;
    let nobody = ([0, 0, 0, 0], 0).into();
    let wanted = Wanted { fresh: true, tunnel: false, client: (nobody, nobody), patience, now: Instant::now() };
    if let Some(open) = plan.pool.open(upstream) {
        let (deadline, mut facts) = (Instant::now() + patience, UpstreamFacts::default());
        match dial::dial(&worker, &plan, upstream, &wanted, deadline, open, &mut facts).await {
            Ok(lease) => plan.pool.keep_ready(lease, Instant::now()),
            // Whoever needs one will see, and say, why there is none.
            Err(_) => slot.warm_after.set(Some(Instant::now() + RETRY)),
        }
    }
    slot.warming.set(false);
}
