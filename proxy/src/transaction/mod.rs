//! One transaction: its facts as they become known, and the promise of exactly one record.
//!
//! A [`Transaction`] begins when a request head is accepted and takes its `seq` there. Whoever holds it — the handler,
//! then the response body, or a tunnel — may [`Transaction::finish`] it; whatever way it is dropped otherwise, `Drop`
//! finishes it as aborted by the client, or by the gateway when the worker is cutting connections. So the record
//! exists by construction.

pub mod body;
pub mod credentials;
pub mod exchange;
pub mod forward;
pub mod in_flight;
pub mod min_rate;
pub mod redaction;
pub mod replay;
pub mod row;
pub mod tunnel;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri, Version, request};
use tollgate_record::vocabulary::{
    AuthFailReason, AuthPattern, AuthResult, ClientIpSource, ErrorClass, ResponseSource, Termination,
};

use crate::client::connection::{ConnectionFacts, FirstByte};
use crate::client::server::cut_of;
use crate::refusal::{Refusal, X_REQUEST_ID};
use crate::runtime::worker::Worker;
use crate::task::cancel::Cut;
use crate::trace::TraceContext;
use crate::upstream::PeerAddr;
use crate::worker_plan::WorkerPlan;
use tollgate_proxy_http::header_flags::{self, RequestScan};
use tollgate_proxy_http::quota::slots::Slot;

const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The status recorded for a client that left.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How the request's body goes on; shared with the task that sends it upstream.
#[derive(Debug, Default)]
pub struct RequestProgress {
    /// Bytes taken from the client.
    pub bytes: Cell<u64>,
    /// When its last byte was taken; `None` while it goes on.
    pub ended_at: Cell<Option<Instant>>,
    /// The response is over: nobody wants the rest.
    pub useless: Cell<bool>,
    /// Whether somebody waits for the client to send more of it.
    pub awaited: Cell<bool>,
    /// What was wrong with it.
    pub fault: Cell<Option<BodyFault>>,
}

/// What can be wrong with a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The client broke the framing, or left.
    #[error("the client's body broke off")]
    Broken,
    /// The client sent chunks that cannot be parsed.
    #[error("the client's body is framed wrongly")]
    Framing,
    /// The client sent nothing for too long.
    #[error("the client's body stalled")]
    Stalled,
    /// The client sent too few bytes for the time that it was waited for.
    #[error("the client's body came too slowly")]
    Slow,
    /// The body is larger than the route allows.
    #[error("the client's body is too large")]
    TooLarge,
}

/// What happened between us and the upstream; times are null where the phase was not reached.
#[derive(Debug, Default)]
pub struct UpstreamFacts {
    /// Index of the target in its service, once one was chosen.
    pub target: Option<usize>,
    /// Address of the last attempt.
    pub addr: Option<PeerAddr>,
    /// Attempts so far.
    pub attempts: i32,
    /// Whether the last attempt used a pooled connection.
    pub reused: Option<bool>,
    /// Status of the response.
    pub status: Option<u16>,
    /// Wait for the resolver, over all attempts, as the two that follow.
    pub dns: Option<Duration>,
    /// TCP connect.
    pub connect: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// The step that goes on, and since when: a client that leaves meanwhile has the time in its record too.
    pub stage: Option<(Stage, Instant)>,
    /// When the head was handed to the connection.
    pub sent_at: Option<Instant>,
    /// When the response head was there.
    pub first_byte_at: Option<Instant>,
    /// When the last byte of the response was there.
    pub last_byte_at: Option<Instant>,
}

/// A step on the way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Asking the resolver.
    Dns,
    /// TCP connect.
    Connect,
    /// TLS handshake.
    Tls,
}

impl UpstreamFacts {
    /// A step begins, and with it the one before ends.
    pub fn enter(&mut self, stage: Stage) {
        self.leave();
        self.stage = Some((stage, Instant::now()));
    }

    /// The step that goes on ends; what it took is added over all attempts.
    pub fn leave(&mut self) {
        let Some((stage, since)) = self.stage.take() else { return };
        let sum = match stage {
            Stage::Dns => &mut self.dns,
            Stage::Connect => &mut self.connect,
            Stage::Tls => &mut self.tls,
        };
        *sum = Some(sum.unwrap_or_default() + since.elapsed());
    }
}

/// What of the presented credential may be recorded.
#[derive(Debug, Default)]
pub struct AuthFacts {
    /// How the caller was authenticated.
    pub pattern: Option<AuthPattern>,
    /// Outcome.
    pub result: Option<AuthResult>,
    /// Why it failed.
    pub fail_reason: Option<AuthFailReason>,
    /// Keyed hash of what was presented.
    pub token_hmac: Option<[u8; 32]>,
}

/// How a transaction ended.
#[derive(Debug)]
pub struct Ending {
    /// Who ended it.
    pub termination: Termination,
    /// What went wrong.
    pub class: Option<ErrorClass>,
    /// One sentence.
    pub detail: Option<String>,
}

impl Ending {
    /// Nothing went wrong.
    pub const COMPLETE: Self = Self { termination: Termination::Complete, class: None, detail: None };

    /// Something went wrong.
    #[must_use]
    pub fn broken(termination: Termination, class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { termination, class: Some(class), detail: Some(detail.into()) }
    }
}

/// The facts of one transaction.
#[derive(Debug)]
pub struct Transaction {
    pub(crate) worker: Rc<Worker>,
    /// What it began under, and ends under.
    pub(crate) plan: Rc<WorkerPlan>,
    pub(crate) connection: Rc<ConnectionFacts>,
    pub(crate) seq: i64,
    pub(crate) time_us: i64,
    pub(crate) request_id: HeaderValue,
    /// First byte of the request.
    pub(crate) began_at: Instant,
    /// The head was complete.
    pub(crate) head_at: Instant,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) correlation: Option<HeaderValue>,
    pub(crate) headers_json: Option<String>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) client_ip: Option<(String, ClientIpSource)>,
    pub(crate) route: Option<usize>,
    /// Which of the route's paths matched.
    pub(crate) path: usize,
    pub(crate) request_head_bytes: i64,
    pub(crate) request_body: Option<Rc<RequestProgress>>,
    pub(crate) response_head_bytes: Option<i64>,
    pub(crate) response_bytes: u64,
    pub(crate) status: Option<u16>,
    pub(crate) source: Option<ResponseSource>,
    pub(crate) upstream: UpstreamFacts,
    pub(crate) auth: AuthFacts,
    /// Set by a refusal or a broken upstream, so that the end of the answer's body does not hide it.
    pub(crate) verdict: Option<Ending>,
    pub(crate) live: usize,
    /// Its place among those of its service, given back when it is dropped.
    pub(crate) slot: Option<Slot>,
    cut: Cut,
    finished: bool,
}

impl Transaction {
    /// Begins a transaction: from here on, its record will be written.
    #[must_use]
    pub fn begin(
        worker: &Rc<Worker>,
        connection: &Rc<ConnectionFacts>,
        head: &request::Parts,
        seen: &mut RequestScan,
        has_body: bool,
    ) -> Box<Self> {
        let first = if connection.http2 { None } else { connection.io.take_first_byte_at(worker.epoch, has_body) };
        let (began_at, head_at) = match first {
            // Whole by then: the clock need not be read again.
            Some(FirstByte { at, whole: true }) => (at, at),
            Some(FirstByte { at, whole: false }) => (at, Instant::now()),
            None => {
                let now = Instant::now();
                (now, now)
            }
        };
        connection.requests.set(connection.requests.get() + 1);
        connection.open.set(connection.open.get() + 1);
        let (seq, time_us) = worker.issue(began_at);
        let cut = cut_of(connection);
        let live = worker.live.borrow_mut().insert(seq, time_us, cut.clone());
        Box::new(Self {
            worker: worker.clone(),
            plan: worker.plan(),
            connection: connection.clone(),
            seq,
            time_us,
            request_id: worker.request_id(time_us, seq),
            began_at,
            head_at,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: None,
            user_agent: seen.user_agent.take(),
            correlation: if seen.flags.may_have(header_flags::CORRELATION) {
                correlation_of(&head.headers)
            } else {
                None
            },
            headers_json: None,
            trace: None,
            client_ip: None,
            route: None,
            path: 0,
            request_head_bytes: 0,
            request_body: None,
            response_head_bytes: None,
            response_bytes: 0,
            status: None,
            source: None,
            upstream: UpstreamFacts::default(),
            auth: AuthFacts::default(),
            verdict: None,
            live,
            slot: None,
            cut,
            finished: false,
        })
    }

    /// Has the worker cut this transaction some time after `deadline`, should nothing else end it: a client that takes no
    /// byte of its response has nothing be asked for the next. `None` = never.
    pub fn bound(&self, deadline: Option<Instant>) {
        self.worker.live.borrow_mut().bound(self.live, deadline);
    }

    /// Whether the worker has cut it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.is_cut()
    }

    /// Notes why the gateway answers in the upstream's place.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.status = Some(refusal.status.as_u16());
        self.source = Some(ResponseSource::Gateway);
        if let Some(reason) = refusal.auth {
            self.auth.result = Some(AuthResult::Failed);
            self.auth.fail_reason = Some(reason);
        }
        self.verdict = Some(Ending::broken(refusal.termination, refusal.class, refusal.detail.as_str()));
    }

    /// Writes the record. The end of the answer's body says `Complete`; an earlier verdict holds against it.
    pub fn finish(self: Box<Self>, ending: Ending) {
        self.finish_at(ending, Instant::now());
    }

    /// As [`Transaction::finish`], by a clock that was read just now.
    pub fn finish_at(mut self: Box<Self>, ending: Ending, ended_at: Instant) {
        self.write(ending, ended_at);
    }

    fn write(&mut self, ending: Ending, ended_at: Instant) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let ending = match self.verdict.take() {
            Some(verdict) if ending.class.is_none() => verdict,
            _ => ending,
        };
        if ending.termination == Termination::Client {
            self.status = Some(CLIENT_CLOSED_REQUEST);
        }
        self.connection.io.response_ended();
        self.connection.open.set(self.connection.open.get() - 1);
        self.connection.quiet_since.set(ended_at);
        self.upstream.leave();
        let worker = self.worker.clone();
        worker.live.borrow_mut().remove(self.live);
        worker.record(self, &ending, ended_at);
    }

    /// What a drop without `finish` means.
    fn abandoned(&self) -> Ending {
        if self.worker.cutting.get() {
            let detail = "cut at the end of the drain";
            return Ending::broken(Termination::Gateway, ErrorClass::Internal, detail);
        }
        if self.is_cut() {
            let detail = "the client did not take the response in time";
            return Ending::broken(Termination::Client, ErrorClass::ClientAbort, detail);
        }
        if let Some((_, flood)) = self.connection.io.flood() {
            return Ending::broken(Termination::Gateway, ErrorClass::RateLimited, flood);
        }
        let fault = self.request_body.as_ref().and_then(|body| body.fault.get());
        let detail = match (self.connection.io.write_stalled(), fault, self.status) {
            (true, _, _) => "the client stopped reading",
            (_, Some(BodyFault::Broken), None) => "the client left while sending its body",
            (_, _, None) => "the client left before the response began",
            (_, _, Some(_)) => "the client left before the response was complete",
        };
        Ending::broken(Termination::Client, ErrorClass::ClientAbort, detail)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.finished {
            let ending = self.abandoned();
            self.write(ending, Instant::now());
        }
    }
}

/// The caller's own id: X-Correlation-Id, else X-Request-Id.
fn correlation_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(&X_CORRELATION_ID).or_else(|| headers.get(X_REQUEST_ID)).cloned()
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
