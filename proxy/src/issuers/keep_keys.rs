//! Keeps the keys of one provider: fetched at half life, again and again after a failure, at once when a search asks.

use std::rc::Rc;
use std::sync::Weak;
use std::time::Duration;

use tollgate_proxy_token::{KeySet, discovery};
use tollgate_retry::Backoff;

use super::fetch::{Ask, fetch};
use super::{FETCH_MAX, Issuers, LIFE, LIFE_MAX, LIFE_MIN};
use crate::providers::{KeySource, Provider};

/// Waits after failures: from the first to the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Keeps a provider's keys until no configuration has it.
pub async fn keep(issuers: Rc<Issuers>, provider: Weak<Provider>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let mut failing = false;
    loop {
        let (wait, keys) = {
            let Some(provider) = provider.upgrade() else { return };
            let result = fetched(&issuers, &provider).await;
            note(&issuers, &provider, result.as_ref().map(|_| ()), &mut failing);
            let wait = match result {
                Ok((set, life)) => {
                    if provider.keys.fetched(set) {
                        provider.verified.clear();
                    }
                    backoff.reset();
                    life.map(|life| life / 2)
                }
                Err(_) => {
                    provider.keys.failed();
                    Some(backoff.next_wait())
                }
            };
            (wait, provider.keys.clone())
        };
        // Not the provider: the last configuration that has it frees it, and wakes this task to end.
        tokio::select! {
            () = keys.wanted.notified() => {}
            () = pause(wait) => {}
        }
    }
}

/// `None` = keys from a file live until the configuration is read again.
async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Fetches the set and how long it lives.
async fn fetched(issuers: &Issuers, provider: &Provider) -> Result<(KeySet, Option<Duration>), String> {
    let settings = &provider.settings;
    let url = match &settings.source {
        KeySource::File(_, bytes) => return Ok((KeySet::parse(bytes).map_err(|error| error.to_string())?, None)),
        KeySource::Url(url) => url.clone(),
        KeySource::Discover => {
            let address = discovery::address(&provider.issuer);
            let ask = Ask { url: &address, roots: &settings.roots, form: None };
            let answer = fetch(&issuers.resolver, &ask, FETCH_MAX / 2).await?;
            let found = discovery::parse(&provider.issuer, &answer.body).map_err(|error| error.to_string())?;
            if provider.issuer.starts_with("https:") && !found.jwks_uri.starts_with("https:") {
                return Err("its `jwks_uri` is not https, though the issuer is".to_owned());
            }
            found.jwks_uri
        }
    };
    let ask = Ask { url: &url, roots: &settings.roots, form: None };
    let answer = fetch(&issuers.resolver, &ask, FETCH_MAX / 2).await?;
    let set = KeySet::parse(&answer.body).map_err(|error| error.to_string())?;
    Ok((set, Some(answer.max_age.unwrap_or(LIFE).clamp(LIFE_MIN, LIFE_MAX))))
}

/// Counts a fetch. The log has the first failure of a series, and its end.
fn note(issuers: &Issuers, provider: &Provider, result: Result<(), &String>, failing: &mut bool) {
    let name = provider.settings.name.as_str();
    let metrics = &issuers.metrics;
    metrics.issuer_up.with_label_values(&[name]).set(i64::from(result.is_ok()));
    metrics.issuer_fetches.with_label_values(&[name, if result.is_ok() { "ok" } else { "failed" }]).inc();
    match (result, std::mem::replace(failing, result.is_err())) {
        (Err(why), false) => {
            tracing::warn!(
                provider = name,
                why,
                "the keys of an issuer cannot be fetched; the last good ones are used"
            );
        }
        (Ok(()), true) => tracing::info!(provider = name, "the keys of an issuer are fetched again"),
        _ => {}
    }
}
