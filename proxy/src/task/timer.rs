//! Deadlines that are hardly ever reached, at the price of hardly ever touching the runtime's timers.
//!
//! A timer of the runtime is put into a wheel under a lock when it is first waited for, and taken out when it is dropped:
//! for a request with two deadlines, that is a tenth of what the request costs. An [`Alarm`] takes a timer that another
//! has left behind, still in the wheel:
//! ```text
//! its time is before the alarm's    nothing is done; it goes off early, and is set for the alarm's time then
//! its time is after the alarm's     it is set for the alarm's time
//! ```
//! Deadlines of the same length follow each other, so that nearly all are of the first kind, and one timer is set once
//! for each length of time that passes, however many requests come meanwhile. An alarm is as exact as a timer. A timer
//! that is left behind may wake, once, a task that no longer waits for it.
//!
//! The spare timers are the thread's, and belong to the runtime that was entered when they were made: a thread runs one.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Timers that a thread keeps for the next alarm.
const SPARE_TIMERS_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// Ready at its time. It costs nothing until it is polled.
#[derive(Debug)]
pub struct Alarm {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Goes off at `at`.
    #[must_use]
    pub fn at(at: Instant) -> Self {
        Self { at, timer: None }
    }

    /// Goes off at `at` instead; whoever waits has to ask again.
    pub fn move_to(&mut self, at: Instant) {
        self.at = at;
    }
}

impl Future for Alarm {
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

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        // Not there any more when the thread ends.
        let _ended = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_TIMERS_MAX {
                spare.push(timer);
            }
        });
    }
}

/// What `future` comes to, or `None` if it has not by `until`.
pub async fn within<F: Future + Unpin>(until: Instant, mut future: F) -> Option<F::Output> {
    let mut alarm = Alarm::at(until);
    std::future::poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut alarm).poll(cx).map(|()| None),
    })
    .await
}

/// Alarms for hyper.
#[derive(Debug, Clone, Copy)]
pub struct Alarms;

impl hyper::rt::Sleep for Alarm {}

impl hyper::rt::Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm::at(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Alarm>() {
            Some(mut alarm) => alarm.move_to(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn poll_once(alarm: &mut Alarm) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *alarm).poll(cx))).await
    }

    /// Leaves a timer behind that goes off `after` from now.
    async fn leave_behind(after: Duration) {
        let mut alarm = Alarm::at(Instant::now() + after);
        assert!(poll_once(&mut alarm).await.is_pending());
        drop(alarm);
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
    }

    #[tokio::test]
    async fn a_timer_that_goes_off_early_is_set_again() {
        leave_behind(Duration::from_millis(5)).await;
        let at = Instant::now() + Duration::from_millis(40);
        Alarm::at(at).await;
        assert!(Instant::now() >= at);
        // One that has gone off is as good as any.
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
        let at = Instant::now() + Duration::from_millis(5);
        Alarm::at(at).await;
        assert!(Instant::now() >= at);
    }

    #[tokio::test]
    async fn a_timer_that_would_go_off_late_is_brought_forward() {
        let hour = Duration::from_secs(3_600);
        leave_behind(hour).await;
        Alarm::at(Instant::now() + Duration::from_millis(5)).await;
        let mut alarm = Alarm::at(Instant::now() + hour);
        assert!(poll_once(&mut alarm).await.is_pending());
        alarm.move_to(Instant::now() + Duration::from_millis(5));
        alarm.await;
    }

    #[tokio::test]
    async fn only_so_many_timers_are_kept() {
        let mut alarms: Vec<Alarm> =
            (0..SPARE_TIMERS_MAX + 9).map(|_| Alarm::at(Instant::now() + Duration::from_secs(3_600))).collect();
        for alarm in &mut alarms {
            assert!(poll_once(alarm).await.is_pending());
        }
        drop(alarms);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_TIMERS_MAX);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let at = Instant::now() + Duration::from_millis(5);
        assert_eq!(within(at, std::future::pending::<()>()).await, None);
        assert!(Instant::now() >= at);
        assert_eq!(within(at, std::future::ready(7)).await, Some(7));
    }
}
