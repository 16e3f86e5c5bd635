//! Answers questions about opaque tokens (RFC 7662).
//!
//! Requests with the same token share one exchange. What an issuer says is remembered before it is passed on, so that
//! the next request finds it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tollgate_proxy_token::{TokenError, introspection};

use super::fetch::{Ask, fetch};
use super::{ASKED_AT_ONE_TIME_MAX, FETCH_MAX, Issuers};
use crate::providers::{Caller, Fault, Provider, Question, now_s};

type Answer = Result<Arc<Caller>, Fault>;
/// Who waits for the verdict on a token, by its hash.
type Pending = Rc<RefCell<HashMap<[u8; 32], Vec<oneshot::Sender<Answer>>>>>;

/// Answers the questions to one provider until no configuration has it.
pub async fn answer(issuers: Rc<Issuers>, provider: Weak<Provider>, mut asked: mpsc::Receiver<Question>) {
    let pending = Pending::default();
    let places = Arc::new(Semaphore::new(ASKED_AT_ONE_TIME_MAX));
    while let Some(Question { token, fingerprint, answer }) = asked.recv().await {
        if let Some(waiting) = pending.borrow_mut().get_mut(&fingerprint) {
            waiting.push(answer);
            continue;
        }
        // The queue waits with it, and is bounded.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Some(provider) = provider.upgrade() else { return };
        pending.borrow_mut().insert(fingerprint, vec![answer]);
        let (issuers, pending) = (issuers.clone(), pending.clone());
        tokio::task::spawn_local(async move {
            let verdict = verdict(&issuers, &provider, &token).await;
            remember(&provider, fingerprint, &verdict);
            let outcome = match &verdict {
                Ok((Ok(_), _)) => "active",
                Ok((Err(_), _)) => "refused",
                Err(_) => "failed",
            };
            issuers.metrics.issuer_questions.with_label_values(&[&provider.settings.name, outcome]).inc();
            let answer: Answer = match verdict {
                Ok((known, _)) => known.map_err(Fault::Refused),
                Err(why) => Err(Fault::Unavailable(format!("the provider {}: {why}", provider.settings.name))),
            };
            for waiting in pending.borrow_mut().remove(&fingerprint).unwrap_or_default() {
                // The request may have ended.
                let _gone = waiting.send(answer.clone());
            }
            drop(place);
        });
    }
}

/// What an issuer says of a token, and until when it says so, in seconds since 1970.
type Said = (Result<Arc<Caller>, TokenError>, Option<u64>);

async fn verdict(issuers: &Issuers, provider: &Provider, token: &str) -> Result<Said, String> {
    let settings = &provider.settings;
    let Some(introspection) = &settings.introspection else { return Err("it has no `introspection`".to_owned()) };
    let token: String = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC).collect();
    let form = format!("token={token}&token_type_hint=access_token");
    let ask = Ask { url: &introspection.url, roots: &settings.roots, form: Some((&introspection.authorization, form)) };
    let answered = fetch(&issuers.resolver, &ask, FETCH_MAX).await?;
    let said = introspection::verdict(&settings.rules.claims, &answered.body, now_s());
    let said = said.map_err(|error| error.to_string())?;
    let until = said.as_ref().ok().and_then(|claims| claims.expires_at_s);
    Ok((said.map(|claims| Arc::new(Caller::new(&provider.issuer, claims, None))), until))
}

fn remember(provider: &Provider, fingerprint: [u8; 32], verdict: &Result<Said, String>) {
    let (Ok((known, until_s)), Some(introspection)) = (verdict, &provider.settings.introspection) else { return };
    let now_s = now_s();
    let time = if known.is_ok() { introspection.active } else { introspection.inactive };
    let until_s = until_s.unwrap_or(u64::MAX).min(now_s + time.as_secs());
    provider.answered.put(fingerprint, known.clone(), until_s, now_s);
}
