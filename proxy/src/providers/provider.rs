//! One issuer: its settings, and what workers ask of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tollgate_clock::now_us;
use tollgate_proxy_token::{Head, KeySet, TokenError, TokenRules, Verified};
use tollgate_tls::Roots;

use super::keys::{Searched, WAIT_MAX};
use super::tokens::{TOKEN_AGE_MAX_S, TOKENS_MAX};
use super::{Caller, Keys, Tokens};

/// Questions to one issuer that wait for their turn.
pub const QUESTIONS_MAX: usize = 256;
/// Expensive signatures that are verified at one time, of one provider.
pub const EXPENSIVE_MAX: usize = 2;

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Where its discovery document says.
    Discover,
    /// At an address.
    Url(String),
    /// In a file, read when the configuration is: its bytes.
    File(PathBuf, Vec<u8>),
}

/// How an issuer is asked about tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct IntrospectionSettings {
    /// Address.
    pub url: String,
    /// The gateway's `Authorization` there. It is never shown.
    pub authorization: String,
    /// Time for which an active token is taken as one.
    pub active: Duration,
    /// Time for which a refused token is taken as one.
    pub inactive: Duration,
}

impl fmt::Debug for IntrospectionSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IntrospectionSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Everything that makes two providers the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Name in the configuration and in metrics.
    pub name: String,
    /// What its tokens must be like.
    pub rules: TokenRules,
    /// Where its keys are.
    pub source: KeySource,
    /// How it is asked about tokens.
    pub introspection: Option<IntrospectionSettings>,
    /// Authorities of its server.
    pub roots: Roots,
}

/// Why there is no caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The token is not valid.
    Refused(TokenError),
    /// There is no verdict: the issuer does not answer, or too many wait.
    Unavailable(String),
}

/// A question about an opaque token.
pub struct Question {
    /// The token.
    pub token: String,
    /// Its hash.
    pub fingerprint: [u8; 32],
    /// Gets the answer, if somebody still waits for it.
    pub answer: oneshot::Sender<Result<Arc<Caller>, Fault>>,
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Question")
    }
}

/// One issuer, shared by all workers.
#[derive(Debug)]
pub struct Provider {
    /// Its settings.
    pub settings: ProviderSettings,
    /// `iss`.
    pub issuer: Arc<str>,
    /// Its keys.
    pub keys: Arc<Keys>,
    /// Tokens that were verified here.
    pub verified: Tokens<Arc<Caller>>,
    /// What it said of tokens. A token that was verified here may be withdrawn there: the two are never mixed.
    pub answered: Tokens<Result<Arc<Caller>, TokenError>>,
    questions: mpsc::Sender<Question>,
    asked: Mutex<Option<mpsc::Receiver<Question>>>,
    expensive: Semaphore,
}

impl Provider {
    /// A provider of which nothing is known yet but the keys that stand in a file.
    #[must_use]
    pub fn new(settings: ProviderSettings) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let keys = Keys::default();
        if let KeySource::File(_, bytes) = &settings.source
            && let Ok(set) = KeySet::parse(bytes)
        {
            keys.fetched(set);
        }
        Self {
            issuer: settings.rules.claims.issuer.as_str().into(),
            keys: Arc::new(keys),
            verified: Tokens::new(TOKENS_MAX),
            answered: Tokens::new(TOKENS_MAX),
            questions,
            asked: Mutex::new(Some(asked)),
            expensive: Semaphore::new(EXPENSIVE_MAX),
            settings,
        }
    }

    /// Takes the end at which questions arrive. There is one.
    #[must_use]
    pub fn asked(&self) -> Option<mpsc::Receiver<Question>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Verifies a signed token.
    ///
    /// # Errors
    /// It is not valid, or there is no verdict.
    pub async fn verify(&self, token: &str, fingerprint: [u8; 32], now_s: u64) -> Result<Arc<Caller>, Fault> {
        let head = Head::parse(token).map_err(Fault::Refused)?;
        let rules = &self.settings.rules;
        let mut keys = self.keys.set().await.ok_or_else(|| self.away())?;
        if let Err(error) = head.keys(rules, &keys.set) {
            let searched = match (error, &head.key_id) {
                (TokenError::UnknownKey, Some(key_id)) => self.keys.search(key_id, &keys).await,
                _ => return Err(Fault::Refused(error)),
            };
            match searched {
                Searched::Anew => keys = self.keys.set().await.ok_or_else(|| self.away())?,
                Searched::InVain => return Err(Fault::Refused(TokenError::UnknownKey)),
                Searched::NoAnswer => return Err(self.away()),
            }
        }
        let found = head.keys(rules, &keys.set).map_err(Fault::Refused)?;
        let verified = match found.iter().all(|key| key.is_cheap()) {
            true => head.verify(rules, &keys.set, now_s),
            false => self.verify_elsewhere(token, &keys.set, now_s).await?,
        };
        let verified = verified.map_err(Fault::Refused)?;
        let until_s = verified.claims.expires_at_s.unwrap_or(now_s).min(now_s + TOKEN_AGE_MAX_S);
        let caller = Arc::new(Caller::new(&self.issuer, verified.claims, verified.key_id));
        self.verified.put(fingerprint, caller.clone(), until_s, now_s);
        Ok(caller)
    }

    /// Asks the issuer about an opaque token.
    ///
    /// # Errors
    /// The issuer says that it is not active, or there is no verdict.
    pub async fn ask(&self, token: String, fingerprint: [u8; 32]) -> Result<Arc<Caller>, Fault> {
        let (answer, answered) = oneshot::channel();
        if self.questions.try_send(Question { token, fingerprint, answer }).is_err() {
            let name = &self.settings.name;
            return Err(Fault::Unavailable(format!("{QUESTIONS_MAX} questions wait for the provider {name} already")));
        }
        match tokio::time::timeout(WAIT_MAX, answered).await {
            Ok(Ok(answer)) => answer,
            _ => Err(self.away()),
        }
    }

    /// Verifies an expensive signature on another thread.
    async fn verify_elsewhere(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        now_s: u64,
    ) -> Result<Result<Verified, TokenError>, Fault> {
        let place = tokio::time::timeout(WAIT_MAX, self.expensive.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Fault::Unavailable("too many signatures wait".to_owned())) };
        let (token, keys, rules) = (token.to_owned(), keys.clone(), self.settings.rules.clone());
        let verify = move || Head::parse(&token).and_then(|head| head.verify(&rules, &keys, now_s));
        tokio::task::spawn_blocking(verify).await.map_err(|_| Fault::Unavailable("a verification broke off".to_owned()))
    }

    fn away(&self) -> Fault {
        Fault::Unavailable(format!("the provider {} does not answer", self.settings.name))
    }
}

impl Drop for Provider {
    /// Wakes the task that keeps its keys, to end.
    fn drop(&mut self) {
        self.keys.wanted.notify_one();
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    u64::try_from(now_us() / 1_000_000).unwrap_or_default()
}
