//! A socket that has nothing to read is not asked again until the runtime has called for it.
//!
//! hyper asks a connection's socket for more each time that its task runs, whatever it runs for: some eight times a
//! request, in vain. Each time the runtime looks at its budget, the socket's readiness and whom to wake. Here the runtime is
//! given a waker of our own to wake; it notes that it was called before it wakes the task, and as long as it was not there
//! is nothing to read:
//!
//! ```text
//! runtime ─▶ Call: quiet = false ─▶ the task's waker        poll: quiet? ─▶ Pending, at the price of a look
//!                                                                 not? ───▶ ask the socket
//! ```
//! The note is kept in [`IoFacts`], so that whoever drives the connection can look at it too. Whoever asks the socket past
//! this takes the waker's place in it, and has to make another of these before it is asked here again.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};

use crate::client::connection::IoFacts;

/// What the runtime wakes when there may be something to read.
#[derive(Debug)]
struct Call {
    facts: Arc<IoFacts>,
    task: Waker,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.facts.quiet.store(false, Release);
        self.task.wake_by_ref();
    }
}

/// The reading side of one socket.
#[derive(Debug, Default)]
pub struct Readable {
    /// For the task that asked last.
    call: Option<(Arc<Call>, Waker)>,
}

impl Readable {
    /// Asks the socket by `ask`, unless it had nothing and the runtime has not called since. The runtime must be given the
    /// waker of the context that `ask` gets.
    pub fn poll<T>(
        &mut self,
        facts: &Arc<IoFacts>,
        cx: &mut Context<'_>,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let known = self.call.as_ref().is_some_and(|(call, _)| call.task.will_wake(cx.waker()));
        if known && facts.quiet.load(Acquire) {
            return Poll::Pending;
        }
        if !known {
            let call = Arc::new(Call { facts: facts.clone(), task: cx.waker().clone() });
            self.call = Some((call.clone(), Waker::from(call)));
        }
        let Some((_, waker)) = &self.call else { return ask(cx) };
        // Before the socket is asked: a call from here on is heard.
        facts.quiet.store(true, Release);
        let polled = ask(&mut Context::from_waker(waker));
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
    async fn the_socket_is_asked_once_for_each_call() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let (facts, mut readable, asked) = (Arc::new(IoFacts::default()), Readable::default(), Cell::new(0));
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
    async fn another_task_asks_anew() {
        let (facts, mut readable, asked) = (Arc::new(IoFacts::default()), Readable::default(), Cell::new(0));
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
