//! A timer that exists only once something was waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::task::timer::Deadline;

/// A timer that exists only once something was waited for.
#[derive(Debug, Default)]
pub struct Patience {
    deadline: Option<Deadline>,
    armed: bool,
}

impl Patience {
    /// Ends the wait: the next one begins with a deadline of its own.
    pub fn reset(&mut self) {
        self.armed = false;
    }

    /// Is ready once the deadline has passed. `deadline` is called when a wait begins.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>, deadline: impl FnOnce() -> Instant) -> Poll<()> {
        if !self.armed {
            let at = deadline();
            match &mut self.deadline {
                Some(deadline) => deadline.move_to(at),
                None => self.deadline = Some(Deadline::at(at)),
            }
            self.armed = true;
        }
        self.deadline.as_mut().map_or(Poll::Pending, |deadline| Pin::new(deadline).poll(cx))
    }
}
