//! Deadlines that are hardly ever reached, and hardly ever touch the runtime's timer wheel.
//!
//! A runtime timer enters the wheel under a lock when it is first polled, and leaves it when it is dropped. For a
//! request with two deadlines that is a tenth of the request's cost. A [`Deadline`] instead reuses a timer that an
//! earlier deadline left in the wheel:
//! ```text
//! the spare timer fires before the deadline    it stays as it is; when it fires early, it is reset to the deadline
//! the spare timer fires after the deadline     it is reset to the deadline at once
//! ```
//! Most deadlines of one kind have the same length, so a spare timer nearly always fires first, and one reset serves
//! all the requests of that length of time. A deadline is as exact as a runtime timer. A spare timer may wake, once, a
//! task that no longer waits for it. pingora-timeout has the same idea, and rounds to 10 ms.
//!
//! Spare timers belong to the thread, and to the runtime that was entered when they were created: a thread runs one
//! runtime.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Spare timers that a thread keeps.
const SPARE_TIMERS_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// A future that is ready at an instant. It takes a timer only once it is polled.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    #[must_use]
    pub fn at(at: Instant) -> Self {
        Self { at, timer: None }
    }

    /// Moves the deadline. The waiting task must poll again.
    pub fn move_to(&mut self, at: Instant) {
        self.at = at;
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = tokio::time::Instant::from_std(self.at);
        let timer = self.timer.get_or_insert_with(|| {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            spare.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(at)))
        });
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        // The thread-local is gone when the thread ends.
        let _ended = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_TIMERS_MAX {
                spare.push(timer);
            }
        });
    }
}

/// Returns the output of `future`, or `None` if it is not ready by `deadline`.
pub async fn timeout_at<F: Future + Unpin>(deadline: Instant, mut future: F) -> Option<F::Output> {
    let mut deadline = Deadline::at(deadline);
    std::future::poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut deadline).poll(cx).map(|()| None),
    })
    .await
}

/// Gives hyper deadlines of this kind.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineTimer;

impl hyper::rt::Sleep for Deadline {}

impl hyper::rt::Timer for DeadlineTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Deadline::at(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Deadline>() {
            Some(mut timer) => timer.move_to(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn poll_once(deadline: &mut Deadline) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *deadline).poll(cx))).await
    }

    /// Leaves a timer behind that goes off `after` from now.
    async fn leave_behind(after: Duration) {
        let mut deadline = Deadline::at(Instant::now() + after);
        assert!(poll_once(&mut deadline).await.is_pending());
        drop(deadline);
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
    }

    #[tokio::test]
    async fn a_timer_that_goes_off_early_is_set_again() {
        leave_behind(Duration::from_millis(5)).await;
        let at = Instant::now() + Duration::from_millis(40);
        Deadline::at(at).await;
        assert!(Instant::now() >= at);
        // One that has gone off is as good as any.
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
        let at = Instant::now() + Duration::from_millis(5);
        Deadline::at(at).await;
        assert!(Instant::now() >= at);
    }

    #[tokio::test]
    async fn a_timer_that_would_go_off_late_is_brought_forward() {
        let hour = Duration::from_secs(3_600);
        leave_behind(hour).await;
        Deadline::at(Instant::now() + Duration::from_millis(5)).await;
        let mut deadline = Deadline::at(Instant::now() + hour);
        assert!(poll_once(&mut deadline).await.is_pending());
        deadline.move_to(Instant::now() + Duration::from_millis(5));
        deadline.await;
    }

    #[tokio::test]
    async fn only_so_many_timers_are_kept() {
        let mut deadlines: Vec<Deadline> =
            (0..SPARE_TIMERS_MAX + 9).map(|_| Deadline::at(Instant::now() + Duration::from_secs(3_600))).collect();
        for deadline in &mut deadlines {
            assert!(poll_once(deadline).await.is_pending());
        }
        drop(deadlines);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_TIMERS_MAX);
    }

    #[tokio::test]
    async fn a_future_that_takes_too_long_is_given_up() {
        let at = Instant::now() + Duration::from_millis(5);
        assert_eq!(timeout_at(at, std::future::pending::<()>()).await, None);
        assert!(Instant::now() >= at);
        assert_eq!(timeout_at(at, std::future::ready(7)).await, Some(7));
    }
}
