//! Cancellation that is cheap to poll.
//!
//! `CancellationToken` takes a lock each time it is asked or polled. A task that waits for several tokens while it
//! serves requests would take that lock several times a request, for an event that happens once.
//!
//! ```text
//! Shutdown   stops all workers; cancelled by another thread     a token, and an atomic flag that mirrors it
//! Abort      ends one connection or stream                      stays on its thread: no lock, no atomics
//! ```

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// A cancellation token whose state is one atomic load away.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    /// Set before the token is cancelled, so that a task which the token wakes finds it set.
    flag: Arc<AtomicBool>,
}

impl Shutdown {
    /// Wakes every waiting task, on any thread.
    pub fn cancel(&self) {
        self.flag.store(true, Relaxed);
        self.token.cancel();
    }

    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Relaxed)
    }

    /// Returns the token's own future. A task that polls often waits by [`Cancelled`] instead.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }
}

/// A future that is ready once its [`Shutdown`] is cancelled. Only the first poll of each task registers with the
/// token; later polls by the same task load the flag.
#[derive(Debug)]
pub struct Cancelled<'a> {
    shutdown: &'a Shutdown,
    waiting: Pin<Box<WaitForCancellationFuture<'a>>>,
    registered: Option<Waker>,
}

impl<'a> Cancelled<'a> {
    #[must_use]
    pub fn of(shutdown: &'a Shutdown) -> Self {
        Self { shutdown, waiting: Box::pin(shutdown.cancelled()), registered: None }
    }
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return if this.shutdown.is_cancelled() { Poll::Ready(()) } else { Poll::Pending };
        }
        this.registered = None;
        let poll = this.waiting.as_mut().poll(cx);
        if poll.is_pending() {
            this.registered = Some(cx.waker().clone());
        }
        poll
    }
}

/// Makes a task of this thread drop the connection or stream that it serves. Clones share one state; one task waits for
/// it.
#[derive(Debug, Clone, Default)]
pub struct Abort(Rc<AbortState>);

#[derive(Debug, Default)]
struct AbortState {
    is_aborted: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Abort {
    /// Wakes the waiting task.
    pub fn abort(&self) {
        self.0.is_aborted.set(true);
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }

    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.0.is_aborted.get()
    }

    /// Is ready once aborted. Only the task that polled last is woken.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_aborted() {
            return Poll::Ready(());
        }
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for [`Abort::abort`].
    pub async fn aborted(&self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_task_that_polled_last_is_woken() {
        let shutdown = Shutdown::default();
        let mut cancelled = Box::pin(Cancelled::of(&shutdown));
        // The first poll has another waker than this task's.
        assert!(cancelled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for _ in 0..2 {
            assert!(std::future::poll_fn(|cx| Poll::Ready(cancelled.as_mut().poll(cx))).await.is_pending());
        }
        let cancelling = shutdown.clone();
        tokio::spawn(async move { cancelling.cancel() });
        cancelled.await;
        assert!(shutdown.is_cancelled());
    }

    #[test]
    fn an_abort_wakes_the_task_that_polled_last_and_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let abort = Abort::default();
            assert!(abort.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let waits = abort.clone();
            let waiting = tokio::task::spawn_local(async move { waits.aborted().await });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished() && !abort.is_aborted());
            abort.abort();
            waiting.await.unwrap();
            abort.aborted().await;
        });
    }
}
