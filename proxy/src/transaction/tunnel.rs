//! After a 101: bytes both ways, until either side ends or both are silent for too long. The record is written then.
//! Without the bound on silence, a client that vanished would hold its connections and its configuration for ever.

use std::cell::Cell;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use crate::transaction::facts::Ending;
use crate::transaction::{RequestBody, Transaction};
use crate::upstream::Lease;

/// Bytes of each direction's buffer.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins client and upstream, and ends the transaction when either leaves.
pub async fn run(
    mut transaction: Box<Transaction>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    lease: Box<Lease<RequestBody>>,
) {
    let Lease { tunnel: _counted, .. } = *lease;
    let cut = transaction.context().cut().clone();
    let upstream = match upstream.await {
        Ok(upstream) => upstream,
        Err(_) => {
            let ending =
                Ending::broken(Termination::Upstream, ErrorClass::UpstreamReset, "the upstream left the tunnel");
            return transaction.finish(ending);
        }
    };
    // If the client leaves now, dropping the transaction records that.
    let Ok(client) = client.await else { return };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let mut copied = (Counted::default(), Counted::default());
    let (idle, moved_at) = (transaction.config().file.timeouts.tunnel_idle.0, Cell::new(Instant::now()));
    let ending = tokio::select! {
        ending = join(&mut client, &mut upstream, &mut copied, &moved_at) => ending,
        () = silence(&moved_at, idle) => {
            let detail = Some("nothing passed through the tunnel for as long as timeouts.tunnel_idle".to_owned());
            Ending { termination: Termination::Gateway, class: None, detail }
        }
        () = cut.cancelled() => {
            Ending::broken(Termination::Gateway, ErrorClass::Internal, "cut at the end of the drain")
        }
    };
    transaction.tunnelled(copied.0.0, copied.1.0);
    transaction.finish(ending);
}

/// Bytes passed in one direction.
#[derive(Debug, Default)]
struct Counted(u64);

/// Returns once nothing has moved for `idle`.
async fn silence(moved_at: &Cell<Instant>, idle: Duration) {
    loop {
        let until = moved_at.get() + idle;
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep_until(until.into()).await;
    }
}

async fn join<C, U>(
    client: &mut C,
    upstream: &mut U,
    copied: &mut (Counted, Counted),
    moved_at: &Cell<Instant>,
) -> Ending
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    U: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let client_failed = Cell::new(false);
    let mut client = CountedIo { io: client, read: &mut copied.0.0, failed: &client_failed, moved_at };
    let mut upstream = CountedIo { io: upstream, read: &mut copied.1.0, failed: &Cell::new(false), moved_at };
    let ended = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES).await;
    match ended {
        Ok(_) => Ending::COMPLETE,
        Err(error) if client_failed.get() => {
            let detail = format!("the client broke the tunnel: {error}");
            Ending::broken(Termination::Client, ErrorClass::ClientAbort, detail)
        }
        Err(error) => {
            let detail = format!("the tunnel broke: {error}");
            Ending::broken(Termination::Upstream, ErrorClass::UpstreamReset, detail)
        }
    }
}

/// Counts what is read, so that the record of a tunnel that breaks has its bytes too.
struct CountedIo<'a, IO> {
    io: &'a mut IO,
    read: &'a mut u64,
    failed: &'a Cell<bool>,
    /// When either side was last read from.
    moved_at: &'a Cell<Instant>,
}

impl<IO> CountedIo<'_, IO> {
    fn note<T>(&self, poll: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if matches!(poll, Poll::Ready(Err(_))) {
            self.failed.set(true);
        }
        poll
    }
}

impl<IO: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for CountedIo<'_, IO> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let poll = std::pin::Pin::new(&mut *self.io).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            *self.read += read as u64;
            self.moved_at.set(Instant::now());
        }
        self.note(poll)
    }
}

impl<IO: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for CountedIo<'_, IO> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let poll = std::pin::Pin::new(&mut *self.io).poll_write(cx, buf);
        self.note(poll)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
        let poll = std::pin::Pin::new(&mut *self.io).poll_flush(cx);
        self.note(poll)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<std::io::Result<()>> {
        let poll = std::pin::Pin::new(&mut *self.io).poll_shutdown(cx);
        self.note(poll)
    }
}
