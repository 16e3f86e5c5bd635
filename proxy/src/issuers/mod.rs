//! Asks issuers of tokens, on one thread for all workers: discovery, key sets, introspection.
//!
//! ```text
//! InForce ─▶ follow ─▶ for each provider ─▶ keep_keys:  at half life, or when a search wakes it ─▶ fetch ─▶ Keys
//!                                        └▶ answer:     Question ─▶ the same token once at a time ─▶ fetch ─▶ Tokens
//! ```
//! A provider is kept as long as some configuration has it; one that two configurations share runs on through a reload.
//! Each fetch opens a connection of its own and closes it: a provider is asked every few minutes. Redirections are not
//! followed, because they would let an issuer's web server name another issuer's keys.
//!
//! Bounds: [`FETCH_MAX`] for a fetch; [`fetch::ANSWER_BYTES_MAX`] for its answer; [`ASKED_AT_ONE_TIME_MAX`] questions
//! at one time; a key set lives [`LIFE_MIN`] to [`LIFE_MAX`], as its issuer says, and is fetched again at half of that.

mod answer;
mod fetch;
mod keep_keys;

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::plan::RuntimeConfig;
use crate::providers::Provider;
use crate::reload::InForce;
use crate::upstream::dns::Resolver;

/// Time for one fetch. It is less than a request waits, so that a request hears of a fetch that failed.
const FETCH_MAX: Duration = Duration::from_secs(4);
/// Questions to one issuer at one time.
const ASKED_AT_ONE_TIME_MAX: usize = 32;
/// Life of a key set whose issuer says nothing.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// Shortest life of a key set.
const LIFE_MIN: Duration = Duration::from_secs(60);
/// Longest life of a key set.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the configuration in force is read.
const LOOK: Duration = Duration::from_millis(250);

/// What the tasks of the thread share.
struct Issuers {
    resolver: Resolver,
    metrics: Arc<Metrics>,
}

/// Starts the thread; it ends with `stop`.
///
/// # Errors
/// No thread or runtime can be had.
pub fn start(in_force: InForce, metrics: Arc<Metrics>, stop: CancellationToken) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("issuers".into()).spawn(move || {
        LocalSet::new().block_on(&runtime, async move {
            let timeouts = in_force.config().file.timeouts.clone();
            let resolver = Resolver::new(timeouts.dns_cache.0, timeouts.dns_stale.0);
            let issuers = Rc::new(Issuers { resolver, metrics });
            tokio::select! {
                () = follow(&issuers, &in_force) => {}
                () = stop.cancelled() => {}
            }
        });
    })
}

/// Keeps the providers of each configuration that comes into force.
async fn follow(issuers: &Rc<Issuers>, in_force: &InForce) {
    let mut seen: Weak<RuntimeConfig> = Weak::new();
    let mut kept: HashSet<*const Provider> = HashSet::new();
    loop {
        {
            let config = in_force.config();
            if !seen.ptr_eq(&Arc::downgrade(&config)) {
                let mut wanted = HashSet::new();
                for provider in &config.providers {
                    wanted.insert(Arc::as_ptr(provider));
                    // One whose questions are taken is kept already.
                    if kept.insert(Arc::as_ptr(provider)) {
                        tokio::task::spawn_local(keep_keys::keep(issuers.clone(), Arc::downgrade(provider)));
                        if let Some(asked) = provider.asked() {
                            tokio::task::spawn_local(answer::answer(issuers.clone(), Arc::downgrade(provider), asked));
                        }
                    }
                }
                kept.retain(|provider| wanted.contains(provider));
                issuers.metrics.issuers_kept(config.providers.iter().map(|provider| provider.settings.name.as_str()));
                seen = Arc::downgrade(&config);
            }
            for provider in &config.providers {
                let age = provider.keys.age().map_or(-1, |age| age.as_secs() as i64);
                issuers.metrics.issuer_keys_age.with_label_values(&[&provider.settings.name]).set(age);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
