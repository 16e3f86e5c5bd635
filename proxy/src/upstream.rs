//! Connections to upstreams: resolve, connect, TLS, and hand out.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tollgate_record::vocabulary::ErrorClass;

use crate::body::RequestBody;
use crate::config::UpstreamPlan;
use crate::connection::{IoFacts, Watched};
use crate::pool::OpenConnection;
use crate::refusal::Refusal;
use crate::transaction::UpstreamFacts;
use crate::worker::Worker;
use crate::worker_plan::WorkerPlan;

/// Bytes of a response head.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// One upstream connection, on loan.
#[derive(Debug)]
pub struct Lease {
    /// Sends requests.
    pub sender: http1::SendRequest<RequestBody>,
    /// What its socket saw.
    pub io: Arc<IoFacts>,
    /// Index of the upstream identity, in the plan of the transaction that has the lease.
    pub upstream: usize,
    /// The peer.
    pub addr: SocketAddr,
    /// Whether it comes from the pool.
    pub reused: bool,
    /// Whether it may go (back) to the pool.
    pub poolable: bool,
    /// Counts a connection that switches protocols: hyper's task ends then, and the connection goes on.
    pub tunnel: Option<OpenConnection>,
}

/// Opens a connection within `patience`, noting how long each step took. `tunnel` = it will switch protocols.
///
/// # Errors
/// The refusal to answer with.
pub async fn connect(
    worker: &Rc<Worker>,
    plans: &WorkerPlan,
    upstream: usize,
    patience: Duration,
    tunnel: bool,
    facts: &mut UpstreamFacts,
) -> Result<Lease, Refusal> {
    let plan = &plans.upstreams[upstream];
    let Some(open) = plans.pool.open(upstream) else {
        let status = http::StatusCode::SERVICE_UNAVAILABLE;
        let detail = "the upstream has as many connections as it may";
        return Err(Refusal::gateway(status, ErrorClass::NoHealthyUpstream, detail));
    };
    let deadline = Instant::now() + patience;
    let resolved = timeout_at(deadline.into(), worker.resolver.resolve(&plan.key.host, plan.key.port)).await;
    let resolved = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return Err(dns_refusal(&plan.key.host, &error)),
        Err(_) => {
            let detail = format!("resolving {} took too long", plan.key.host);
            return Err(Refusal::timeout(ErrorClass::Dns, detail));
        }
    };
    add(&mut facts.dns, resolved.took);
    let began = Instant::now();
    let stream = timeout_at(deadline.into(), connect_any(&resolved.addresses, facts)).await;
    add(&mut facts.connect, Some(began.elapsed()));
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(connect_refusal(&error)),
        Err(_) => {
            return Err(Refusal::timeout(
                ErrorClass::ConnectTimeout,
                "the upstream did not accept the connection in time",
            ));
        }
    };
    let addr = facts.addr.unwrap_or(resolved.addresses[0]);
    match secure(plan, stream, deadline, facts).await? {
        Secured::Plain(stream) => spawn(worker, upstream, addr, stream, open, tunnel).await,
        Secured::Tls(stream) => spawn(worker, upstream, addr, *stream, open, tunnel).await,
    }
}

/// What a step took, over all attempts.
fn add(sum: &mut Option<Duration>, took: Option<Duration>) {
    *sum = match (*sum, took) {
        (Some(sum), Some(took)) => Some(sum + took),
        (sum, took) => sum.or(took),
    };
}

async fn connect_any(addresses: &[SocketAddr], facts: &mut UpstreamFacts) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        facts.addr = Some(*address);
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

enum Secured {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn secure(
    plan: &UpstreamPlan,
    stream: TcpStream,
    deadline: Instant,
    facts: &mut UpstreamFacts,
) -> Result<Secured, Refusal> {
    let (Some(config), Some((_, name))) = (&plan.tls, &plan.key.tls) else { return Ok(Secured::Plain(stream)) };
    let began = Instant::now();
    let connector = TlsConnector::from(config.clone());
    let handshake = timeout_at(deadline.into(), connector.connect(name.clone(), stream)).await;
    add(&mut facts.tls, Some(began.elapsed()));
    match handshake {
        Ok(Ok(stream)) => Ok(Secured::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            let reason = tollgate_tls::handshake_failure_reason(&error);
            let detail = format!("TLS with the upstream failed ({reason}): {error}");
            Err(Refusal::upstream(ErrorClass::UpstreamTls, detail))
        }
        Err(_) => {
            let refusal = Refusal::timeout(ErrorClass::UpstreamTls, "TLS with the upstream took too long");
            Err(refusal)
        }
    }
}

/// Starts HTTP/1.1 on a connected socket; its task ends with the connection.
async fn spawn<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    worker: &Rc<Worker>,
    upstream: usize,
    addr: SocketAddr,
    stream: IO,
    open: OpenConnection,
    tunnel: bool,
) -> Result<Lease, Refusal> {
    let io = Arc::new(IoFacts::default());
    let watched = TokioIo::new(Watched::new(stream, io.clone(), worker.epoch, None));
    let handshake = http1::Builder::new().max_buf_size(RESPONSE_HEAD_BYTES_MAX).handshake(watched).await;
    let (sender, connection) = handshake.map_err(|error| {
        Refusal::upstream(ErrorClass::UpstreamReset, format!("the upstream connection failed: {error}"))
    })?;
    let (open, tunnel) = if tunnel { (None, Some(open)) } else { (Some(open), None) };
    let switches = tunnel.is_some();
    tokio::task::spawn_local(async move {
        // How the connection ends shows in the exchange that it carried.
        let _ended = if switches { connection.with_upgrades().await } else { connection.await };
        drop(open);
    });
    Ok(Lease { sender, io, upstream, addr, reused: false, poolable: !switches, tunnel })
}

fn dns_refusal(host: &str, error: &io::Error) -> Refusal {
    let refusal = Refusal::upstream(ErrorClass::Dns, format!("{host} cannot be resolved: {error}"));
    Refusal { termination: tollgate_record::vocabulary::Termination::Gateway, ..refusal }
}

fn connect_refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            Refusal::timeout(ErrorClass::ConnectTimeout, "the upstream did not accept the connection in time")
        }
        _ => Refusal::upstream(ErrorClass::ConnectRefused, format!("the upstream cannot be connected to: {error}")),
    }
}
