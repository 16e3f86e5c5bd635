//! One transaction: its facts as they become known, and the promise of exactly one record.
//!
//! A [`Transaction`] begins when a request head is accepted, and takes its `seq` there. Its owner may
//! [`Transaction::finish`] it: the handler, then the response body, or a tunnel. If it is dropped without that, `Drop`
//! finishes it as ended by the client, or by the gateway while the worker is cutting connections. So the record exists
//! by construction.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, request};
use tollgate_proxy_http::header_flags::{self, RequestScan};
use tollgate_proxy_http::local_reply::{LocalReply, X_REQUEST_ID};
use tollgate_proxy_http::quota::principals::Held;
use tollgate_proxy_http::quota::slots::Slot;
use tollgate_proxy_http::trace::TraceContext;
use tollgate_record::vocabulary::{ClientIpSource, ErrorClass, ResponseSource, Termination};

use crate::socket::FirstByte;
use crate::task::cancel::Abort;
use crate::transaction::facts::{Asked, AuthFacts, Ending, Identity, Outcome, RequestFacts};
use crate::transaction::request_body::{BodyFault, RequestProgress};
use crate::transaction::{ConnectionFacts, WorkerConfig, WorkerContext};
use crate::upstream::UpstreamFacts;

const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The status recorded for a client that left.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The facts of one transaction.
#[derive(Debug)]
pub struct Transaction {
    context: Rc<WorkerContext>,
    /// The configuration that it began under, and ends under.
    config: Rc<WorkerConfig>,
    connection: Rc<ConnectionFacts>,
    identity: Identity,
    request: RequestFacts,
    auth: AuthFacts,
    upstream: UpstreamFacts,
    outcome: Outcome,
    asked: Asked,
    /// Its place among the worker's transactions in flight.
    place: usize,
    /// Its share of the service's quota, returned on drop.
    slot: Option<Slot>,
    /// The caller's share of the service's quotas, returned on drop.
    held: Option<Box<Held>>,
    abort: Abort,
    finished: bool,
}

impl Transaction {
    /// Begins a transaction. From here on, its record will be written.
    #[must_use]
    pub fn begin(
        context: &Rc<WorkerContext>,
        connection: &Rc<ConnectionFacts>,
        head: &request::Parts,
        seen: &mut RequestScan,
        has_body: bool,
    ) -> Box<Self> {
        let epoch = context.epoch();
        let first = if connection.http2 { None } else { connection.io.take_first_byte_at(epoch, has_body) };
        let (began_at, head_at) = match first {
            // The read that brought the first byte brought the whole head: one look at the clock serves for both.
            Some(FirstByte { at, whole: true }) => (at, at),
            Some(FirstByte { at, whole: false }) => (at, Instant::now()),
            None => {
                let now = Instant::now();
                (now, now)
            }
        };
        connection.requests.set(connection.requests.get() + 1);
        connection.open.set(connection.open.get() + 1);
        let (seq, time_us) = context.recorder.issue(began_at);
        let abort = connection.abort_handle();
        let place = context.in_flight.borrow_mut().insert(seq, time_us, abort.clone());
        let correlates = seen.flags.may_have(header_flags::CORRELATION);
        Box::new(Self {
            context: context.clone(),
            config: context.config(),
            connection: connection.clone(),
            identity: Identity { seq, time_us, request_id: context.recorder.request_id(time_us, seq) },
            request: RequestFacts {
                began_at,
                head_at,
                method: head.method.clone(),
                uri: head.uri.clone(),
                version: head.version,
                host: None,
                user_agent: seen.user_agent.take(),
                correlation: if correlates { correlation_of(&head.headers) } else { None },
                headers_json: None,
                trace: None,
                client_ip: None,
                route: None,
                path: 0,
                head_bytes: 0,
                body: None,
            },
            auth: AuthFacts::default(),
            upstream: UpstreamFacts::default(),
            outcome: Outcome::default(),
            place,
            slot: None,
            asked: Asked::default(),
            held: None,
            abort,
            finished: false,
        })
    }

    #[must_use]
    pub fn context(&self) -> &Rc<WorkerContext> {
        &self.context
    }

    #[must_use]
    pub fn config(&self) -> &Rc<WorkerConfig> {
        &self.config
    }

    #[must_use]
    pub fn connection(&self) -> &Rc<ConnectionFacts> {
        &self.connection
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn request(&self) -> &RequestFacts {
        &self.request
    }

    #[must_use]
    pub fn auth(&self) -> &AuthFacts {
        &self.auth
    }

    pub fn auth_mut(&mut self) -> &mut AuthFacts {
        &mut self.auth
    }

    #[must_use]
    pub fn upstream(&self) -> &UpstreamFacts {
        &self.upstream
    }

    pub fn upstream_mut(&mut self) -> &mut UpstreamFacts {
        &mut self.upstream
    }

    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    pub fn asked_mut(&mut self) -> &mut Asked {
        &mut self.asked
    }

    /// Notes a head that is normalized.
    pub fn normalized(&mut self, head_bytes: i64, host: HeaderValue) {
        self.request.head_bytes = head_bytes;
        self.request.host = Some(host);
    }

    /// Notes the client that a trusted hop names.
    pub fn forwarded_for(&mut self, client: Option<(IpAddr, ClientIpSource)>) {
        self.request.client_ip = client.map(|(ip, source)| (ip.to_string(), source));
    }

    pub fn traced(&mut self, trace: Option<TraceContext>) {
        self.request.trace = trace;
    }

    /// Notes the caller's own id, where its route says in which field it stands.
    pub fn correlated(&mut self, id: HeaderValue) {
        self.request.correlation = Some(id);
    }

    /// Notes the route, and which of its paths matched.
    pub fn routed(&mut self, route: usize, path: usize) {
        (self.request.route, self.request.path) = (Some(route), path);
    }

    /// Shows the request among the transactions in flight.
    pub fn show_in_flight(&self) {
        let (request, config) = (&self.request, &self.config);
        self.context.in_flight.borrow_mut().describe(self.place, request, config);
    }

    pub fn keep_headers(&mut self, headers_json: Option<String>) {
        self.request.headers_json = headers_json;
    }

    /// Holds a share of the service's quota until the end.
    pub fn hold(&mut self, slot: Option<Slot>) {
        self.slot = slot;
    }

    /// Holds the caller's share of the service's quotas until the end.
    pub fn hold_for_caller(&mut self, held: Option<Held>) {
        self.held = held.map(Box::new);
    }

    pub fn watch_body(&mut self, body: Option<Rc<RequestProgress>>) {
        self.request.body = body;
    }

    /// Sets a deadline after which the worker aborts this transaction, if nothing else ends it; `None` = never. A
    /// client that never reads its response is never polled, so no timer of the transaction's own would be.
    pub fn abort_after(&self, deadline: Option<Instant>) {
        self.context.in_flight.borrow_mut().abort_after(self.place, deadline);
    }

    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.abort.is_aborted()
    }

    /// Notes the head of the upstream's response, as it is passed on.
    pub fn answered(&mut self, status: StatusCode, head_bytes: i64) {
        self.outcome.status = Some(status.as_u16());
        self.outcome.source = Some(ResponseSource::Upstream);
        self.outcome.head_bytes = Some(head_bytes);
        if status.is_server_error() {
            let (termination, class) = (Termination::Complete, Some(ErrorClass::Upstream5xx));
            self.outcome.verdict = Some(Ending { termination, class, detail: None });
        }
    }

    /// Notes why the gateway replies in the upstream's place.
    pub fn refused(&mut self, reply: &LocalReply) {
        self.outcome.status = Some(reply.status.as_u16());
        self.outcome.source = Some(ResponseSource::Gateway);
        if let Some(reason) = reply.auth {
            self.auth.failed(reason);
        }
        // An answer that is no failure ends as its body does: complete.
        if reply.fixed.as_ref().is_none_or(|fixed| !fixed.is_fine) {
            self.outcome.verdict = Some(Ending::broken(reply.termination, reply.class, reply.detail.as_str()));
        }
    }

    /// Notes the size of the head of a local reply.
    pub fn replied(&mut self, head_bytes: i64) {
        self.outcome.head_bytes = Some(head_bytes);
    }

    pub fn add_response_bytes(&mut self, bytes: u64) {
        self.outcome.body_bytes += bytes;
    }

    /// Notes what passed through a tunnel.
    pub fn tunnelled(&mut self, request_bytes: u64, response_bytes: u64) {
        self.upstream.last_byte_at = Some(Instant::now());
        let progress = RequestProgress::default();
        progress.bytes.set(request_bytes);
        self.request.body = Some(progress.into());
        self.outcome.body_bytes = response_bytes;
    }

    /// Ends the transaction and writes its record. The end of a response's body reports `COMPLETE`; an earlier verdict
    /// wins.
    pub fn finish(self: Box<Self>, ending: Ending) {
        self.finish_at(ending, Instant::now());
    }

    /// As [`Transaction::finish`], by a clock that was just read.
    pub fn finish_at(mut self: Box<Self>, ending: Ending, ended_at: Instant) {
        self.end(ending, ended_at);
    }

    fn end(&mut self, ending: Ending, ended_at: Instant) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        // The end of a body reports only that its bytes were delivered; the verdict says why the response was an error.
        let ending = match self.outcome.verdict.take() {
            Some(verdict) if ending.class.is_none() => verdict,
            _ => ending,
        };
        // Whatever status was on the way, this client did not get it whole.
        if ending.termination == Termination::Client {
            self.outcome.status = Some(CLIENT_CLOSED_REQUEST);
        }
        self.connection.io.response_ended();
        self.connection.open.set(self.connection.open.get() - 1);
        self.connection.quiet_since.set(ended_at);
        // A client that left while a step went on has the step's time in its record.
        self.upstream.leave();
        self.context.in_flight.borrow_mut().remove(self.place);
        self.context.recorder.transaction(self, &ending, ended_at);
    }

    /// The ending of a transaction that is dropped without [`Transaction::finish`].
    fn abandoned(&self) -> Ending {
        if self.context.is_cutting() {
            let detail = "cut at the end of the drain";
            return Ending::broken(Termination::Gateway, ErrorClass::Internal, detail);
        }
        if self.is_aborted() {
            let detail = "the client did not take the response in time";
            return Ending::broken(Termination::Client, ErrorClass::ClientAbort, detail);
        }
        if let Some((_, flood)) = self.connection.io.flood() {
            return Ending::broken(Termination::Gateway, ErrorClass::RateLimited, flood);
        }
        let fault = self.request.body.as_ref().and_then(|body| body.fault.get());
        let detail = match (self.connection.io.write_stalled(), fault, self.outcome.status) {
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
            self.end(ending, Instant::now());
        }
    }
}

/// The caller's own id: X-Correlation-Id, else X-Request-Id.
fn correlation_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(&X_CORRELATION_ID).or_else(|| headers.get(X_REQUEST_ID)).cloned()
}
