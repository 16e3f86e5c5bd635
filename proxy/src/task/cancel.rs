//! Waiting for a cancellation beside something that is polled often.
//!
//! `CancellationToken` looks at its state, and at its list of waiters, under a lock each time that it is asked or polled. A task
//! that waits for several tokens while it serves requests would do so several times a request, for what happens once.
//!
//! ```text
//! Stop  all workers stop, said by another thread       a token with a flag beside it that says the same
//! Cut   one connection or stream is dropped, or left   never leaves its thread: no lock, no atomics
//! ```

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// A cancellation token that can be asked at the price of a look.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    /// Set before the token is cancelled, so that whoever is woken by it finds it set.
    flag: Arc<AtomicBool>,
}

impl Stop {
    /// Says it to everybody who waits, on whatever thread.
    pub fn cancel(&self) {
        self.flag.store(true, Relaxed);
        self.token.cancel();
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Relaxed)
    }

    /// Waits for it.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }
}

/// Ready once its token is cancelled. The token is waited for once for each waker that asks; after that a poll by the same
/// task costs a look at the flag.
#[derive(Debug)]
pub struct Quiet<'a> {
    stop: &'a Stop,
    waiting: Pin<Box<WaitForCancellationFuture<'a>>>,
    registered: Option<Waker>,
}

impl<'a> Quiet<'a> {
    /// Waits for `stop`.
    #[must_use]
    pub fn cancelled(stop: &'a Stop) -> Self {
        Self { stop, waiting: Box::pin(stop.cancelled()), registered: None }
    }
}

impl Future for Quiet<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return if this.stop.is_cancelled() { Poll::Ready(()) } else { Poll::Pending };
        }
        this.registered = None;
        let poll = this.waiting.as_mut().poll(cx);
        if poll.is_pending() {
            this.registered = Some(cx.waker().clone());
        }
        poll
    }
}

/// Has a task of this thread drop what it serves, or take no more of it. Copies are of the same cut, and one task waits for it.
#[derive(Debug, Clone, Default)]
pub struct Cut(Rc<CutState>);

#[derive(Debug, Default)]
struct CutState {
    is_cut: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Cut {
    /// Cuts.
    pub fn cut(&self) {
        self.0.is_cut.set(true);
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }

    /// Whether it was.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.is_cut.get()
    }

    /// Ready once it is; the last task that asked is woken then.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_cut() {
            return Poll::Ready(());
        }
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for it.
    pub async fn happened(&self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asked_last_is_woken() {
        let stop = Stop::default();
        let mut quiet = Box::pin(Quiet::cancelled(&stop));
        // Once by a waker of nobody, so that the one of this task is another.
        assert!(quiet.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for _ in 0..2 {
            assert!(std::future::poll_fn(|cx| Poll::Ready(quiet.as_mut().poll(cx))).await.is_pending());
        }
        let cancelling = stop.clone();
        tokio::spawn(async move { cancelling.cancel() });
        quiet.await;
        assert!(stop.is_cancelled());
    }

    #[test]
    fn a_cut_wakes_the_last_task_that_asked_and_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let cut = Cut::default();
            assert!(cut.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let waits = cut.clone();
            let waiting = tokio::task::spawn_local(async move { waits.happened().await });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished() && !cut.is_cut());
            cut.cut();
            waiting.await.unwrap();
            cut.happened().await;
        });
    }
}
