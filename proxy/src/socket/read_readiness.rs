//! Spares the reads of a socket that has nothing to read.
//!
//! hyper polls a connection's socket each time that the connection's task runs, whatever it runs for: some eight times
//! a request, in vain. Each poll costs a look at the runtime's budget, the socket's readiness and the waker. So the
//! runtime is given a waker of this module. The waker notes that it was called, then wakes the task; until then there
//! is nothing to read:
//!
//! ```text
//! runtime ─▶ WakeNote: quiet = false ─▶ the task's waker        poll: quiet? ─▶ Pending, for one atomic load
//!                                                                     not? ───▶ poll the socket
//! ```
//! The note is kept in [`IoFacts`], where the task that drives the connection reads it too. A task that polls the
//! socket directly replaces the waker in it, and must create another [`ReadReadiness`] before it polls through one
//! again.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};

use crate::socket::IoFacts;

/// The waker that the runtime gets.
#[derive(Debug)]
struct WakeNote {
    facts: Arc<IoFacts>,
    task: Waker,
}

impl Wake for WakeNote {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.facts.quiet.store(false, Release);
        self.task.wake_by_ref();
    }
}

/// Whether one socket may have something to read.
#[derive(Debug, Default)]
pub struct ReadReadiness {
    /// Of the task that polled last.
    note: Option<(Arc<WakeNote>, Waker)>,
}

impl ReadReadiness {
    /// Polls the socket by `read`, unless it had nothing and the runtime has not woken the task since. `read` must pass
    /// its context on to the runtime.
    pub fn poll<T>(
        &mut self,
        facts: &Arc<IoFacts>,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let known = self.note.as_ref().is_some_and(|(note, _)| note.task.will_wake(cx.waker()));
        if known && facts.quiet.load(Acquire) {
            return Poll::Pending;
        }
        if !known {
            let note = Arc::new(WakeNote { facts: facts.clone(), task: cx.waker().clone() });
            self.note = Some((note.clone(), Waker::from(note)));
        }
        let Some((_, waker)) = &self.note else { return read(cx) };
        // Set before the socket is polled: a wake-up in between clears it and is not lost.
        facts.quiet.store(true, Release);
        let polled = read(&mut Context::from_waker(waker));
        if polled.is_ready() {
            facts.quiet.store(false, Release);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::Pin;

    use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

    use super::*;

    #[tokio::test]
    async fn the_socket_is_polled_once_for_each_wake_up() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let (facts, mut readable, asked) = (Arc::new(IoFacts::default()), ReadReadiness::default(), Cell::new(0));
        let mut read = |cx: &mut Context<'_>| {
            let mut buffer = [0; 8];
            readable.poll(&facts, cx, |cx| {
                asked.set(asked.get() + 1);
                let mut buffer = ReadBuf::new(&mut buffer);
                Pin::new(&mut near).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
            })
        };
        for _ in 0..3 {
            assert!(std::future::poll_fn(|cx| Poll::Ready(read(cx))).await.is_pending());
        }
        assert_eq!(asked.get(), 1);
        let waiting = async { std::future::poll_fn(|cx| read(cx)).await.unwrap() };
        let (bytes, ()) = tokio::join!(waiting, async { far.write_all(b"abc").await.unwrap() });
        assert_eq!((bytes, asked.get()), (3, 2), "the task was woken, and what it waited for is there");
    }

    #[tokio::test]
    async fn another_task_polls_the_socket_itself() {
        let (facts, mut readable, asked) = (Arc::new(IoFacts::default()), ReadReadiness::default(), Cell::new(0));
        let mut poll = |waker: &Waker| {
            readable.poll(&facts, &mut Context::from_waker(waker), |_| {
                asked.set(asked.get() + 1);
                Poll::<()>::Pending
            })
        };
        let waker = || std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone()));
        let (task, other) = (waker().await, tokio::spawn(waker()).await.unwrap());
        for (waker, times) in [(&task, 1), (&task, 1), (&other, 2), (&other, 2), (&task, 3)] {
            assert!(poll(waker).is_pending());
            assert_eq!(asked.get(), times);
        }
    }
}
