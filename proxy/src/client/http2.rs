//! An HTTP/2 connection: served until it ends, drains, is idle for too long, or asks for too much work.

use std::error::Error;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_record::vocabulary::ErrorClass;

use crate::client::server::Server;
use crate::task::cancel::Cancelled;
use crate::transaction::{self, ConnectionFacts};

impl Server {
    /// Serves one connection to its end.
    pub(super) async fn serve_http2<IO>(&self, io: IO, facts: Rc<ConnectionFacts>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let context = &self.clients.context;
        let io = TokioIo::new(self.watched(io, &facts));
        let service = {
            let (context, facts) = (context.clone(), facts.clone());
            // Boxed: hyper moves each stream's future into a task and out of it, and this one is large.
            service_fn(move |request| Box::pin(transaction::handle(context.clone(), facts.clone(), request)))
        };
        let connection = self.clients.protocols().http2.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let idle = context.config().file.timeouts.http2_idle.0;
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = Cancelled::of(context.drain()) => {
                let grace = context.config().file.timeouts.drain_first_request.0;
                // A connection that has served nothing may have its first request on the way. A GOAWAY now would refuse
                // it.
                let begun = std::future::poll_fn(|cx| match connection.as_mut().poll(cx) {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    Poll::Pending if facts.requests.get() > 0 => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                match tokio::time::timeout(grace, begun).await {
                    Ok(Some(ended)) => ended,
                    // h2 sends a GOAWAY only after the client's preface, which this client may never send.
                    Err(_) if facts.io.read_bytes.load(Relaxed) == 0 => return,
                    Ok(None) | Err(_) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
            () = facts.leave.aborted() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = facts.idle_for(idle) => {
                connection.as_mut().graceful_shutdown();
                let last_streams = tokio::time::timeout(idle, connection).await;
                last_streams.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            self.note_flood(&facts, &error);
        }
    }

    /// Records an HTTP/2 connection that was cut because its frames asked for too much work. How any other connection
    /// ends shows in the transactions that it carried.
    fn note_flood(&self, facts: &ConnectionFacts, error: &hyper::Error) {
        let engine = error.source().and_then(|source| source.downcast_ref::<h2::Error>()).filter(|error| {
            error.is_go_away() && error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
        });
        if let Some(error) = engine {
            facts.io.note_flood("engine", error.to_string());
        }
        let Some((cause, detail)) = facts.io.flood() else { return };
        let (context, config) = (&self.clients.context, self.clients.context.config());
        let listener = &config.listeners[facts.listener].name;
        context.metrics.shared().http2_floods.with_label_values(&[listener, cause]).inc();
        // The first byte that the socket noted began the connection, not this transaction.
        facts.io.take_first_byte_at(context.epoch(), false);
        context.recorder.malformed(&config, facts, None, ErrorClass::RateLimited, detail);
    }
}
