//! Waiting for a cancellation beside something that is polled often.
//!
//! `CancellationToken::cancelled` looks at its list of waiters, under a lock, each time that it is polled. A task that
//! waits for several tokens while it serves requests would do so several times a request, for what happens once.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Ready once its token is cancelled. The token is looked at, and waited for, once for each waker that asks; after that
/// a poll by the same task costs a look at the flag.
#[derive(Debug)]
pub struct Quiet<'a> {
    token: &'a CancellationToken,
    waiting: Pin<Box<WaitForCancellationFuture<'a>>>,
    registered: Option<Waker>,
}

impl<'a> Quiet<'a> {
    /// Waits for `token`.
    #[must_use]
    pub fn cancelled(token: &'a CancellationToken) -> Self {
        Self { token, waiting: Box::pin(token.cancelled()), registered: None }
    }
}

impl Future for Quiet<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return if this.token.is_cancelled() { Poll::Ready(()) } else { Poll::Pending };
        }
        this.registered = None;
        let poll = this.waiting.as_mut().poll(cx);
        if poll.is_pending() {
            this.registered = Some(cx.waker().clone());
        }
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asked_last_is_woken() {
        let token = CancellationToken::new();
        let mut quiet = Box::pin(Quiet::cancelled(&token));
        // Once by a waker of nobody, so that the one of this task is another.
        assert!(quiet.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for _ in 0..2 {
            assert!(std::future::poll_fn(|cx| Poll::Ready(quiet.as_mut().poll(cx))).await.is_pending());
        }
        let cancelling = token.clone();
        tokio::spawn(async move { cancelling.cancel() });
        quiet.await;
        assert!(token.is_cancelled());
    }
}
