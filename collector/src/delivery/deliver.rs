//! Gives frames to the sink, and acts on its answer.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::Range;
use std::time::Instant;

use tollgate_clock::now_us;
use tollgate_journal::Frame;
use tollgate_record::decode;
use tollgate_retry::Backoff;
use tollgate_sink::{Delivery, Position, SinkError};

use super::runner::{LoopEnd, Runner, blocking};
use super::sink_state::{HeldFrame, Phase};
use super::source::Taken;
use crate::store::READ_LIMITS;

/// The zstd level of a dead letter that holds a part of its frame.
const LETTER_LEVEL: i32 = 3;

impl Runner {
    /// Gives these frames to the sink until it takes them. Returns early when they must be read again: the sink is to be rebuilt (also
    /// where a dead letter cannot be stored), or a full journal asked to pass them over. An empty list is a poll: the sink may answer that
    /// it has stored what it holds.
    pub(super) async fn deliver(&mut self, taken: Vec<Taken>, backoff: &mut Backoff) -> Option<LoopEnd> {
        let end = taken.last().map_or(self.next, |taken| taken.position() + 1);
        let is_poll = taken.is_empty();
        let Ok(mut deliveries) = self.split(taken).await else {
            self.wait(backoff.next_wait()).await;
            return None;
        };
        while is_poll || !deliveries.is_empty() {
            self.state.set_waiting(deliveries.first().map(|delivery| delivery.received_us));
            let started = Instant::now();
            let answer = self.sink.deliver(&deliveries).await;
            if !is_poll {
                let seconds = started.elapsed().as_secs_f64();
                self.metrics.deliver_seconds.with_label_values(&[self.state.name]).observe(seconds);
            }
            match answer {
                Ok(through) => {
                    backoff.reset();
                    self.took(&deliveries, end, through);
                    return None;
                }
                Err(SinkError::Retry { reason, after }) => {
                    self.note("retry", &reason);
                    self.state.set_phase(Phase::Retrying);
                    self.wait(backoff.next_wait_asked(after)).await;
                    // A full journal may have asked to pass these frames over meanwhile: then they are not tried again.
                    if is_poll || self.stop.is_cancelled() || self.state.skip_to() > self.cursor.position {
                        return None;
                    }
                }
                Err(SinkError::Rebuild { reason }) => {
                    self.note("rebuild", &reason);
                    return Some(LoopEnd::Rebuild);
                }
                Err(SinkError::Reject { position, reason }) => {
                    let refusal = Refusal { position, rows: None, reason };
                    if let Break(ended) = self.refused(refusal, &mut deliveries).await {
                        return ended;
                    }
                }
                Err(SinkError::RejectRows { position, rows, reason }) => {
                    let refusal = Refusal { position, rows: Some(rows), reason };
                    if let Break(ended) = self.refused(refusal, &mut deliveries).await {
                        return ended;
                    }
                }
            }
        }
        self.took(&[], end, None);
        None
    }

    /// Sorts out what the sink cannot be given: frames that this build cannot decode go to the dead letters, and positions that are
    /// not there are passed.
    async fn split(&mut self, taken: Vec<Taken>) -> io::Result<Vec<Delivery>> {
        let mut deliveries = Vec::with_capacity(taken.len());
        let mut expected = self.next;
        for taken in taken {
            self.pass(expected..taken.position());
            expected = taken.position() + 1;
            match taken {
                Taken::Delivery(delivery) => deliveries.push(delivery),
                Taken::Undecodable(frame, reason) => {
                    self.note("undecodable", &reason);
                    self.dead_letter(frame, reason).await?;
                }
            }
        }
        Ok(deliveries)
    }

    /// Notes that the sink took these, that everything before `end` is dealt with, and that everything up to `through` is stored.
    pub(super) fn took(&mut self, deliveries: &[Delivery], end: Position, through: Option<Position>) {
        let held = |delivery: &Delivery| HeldFrame {
            position: delivery.position,
            received_us: delivery.received_us,
            rows: delivery.batch.records.num_rows() as u64,
        };
        self.state.set_waiting(None);
        self.state.hold(deliveries.iter().map(held));
        self.next = self.next.max(end);
        if let Some(through) = through {
            if through >= self.next {
                self.note("ahead", &format!("answered position {through}, was given positions before {}", self.next));
            }
            self.cursor.position = self.cursor.position.max((through + 1).min(self.next));
        }
        self.settle();
    }

    /// Moves the cursor over the positions that were passed, and counts what is stored.
    fn settle(&mut self) {
        while let Some(passed) = self.passed.iter().find(|passed| passed.contains(&self.cursor.position)) {
            self.cursor.position = passed.end;
        }
        let cursor = self.cursor.position;
        self.passed.retain(|passed| passed.end > cursor);
        let rows = self.state.release(cursor);
        self.metrics.delivered.with_label_values(&[self.state.name]).inc_by(rows);
    }

    fn pass(&mut self, positions: Range<Position>) {
        if !positions.is_empty() {
            self.passed.push(positions);
        }
    }

    /// Sets aside what the sink refused and takes its frame out of `deliveries`. Breaks off where this delivery ends with it: the
    /// letter cannot be stored, or the sink was never given the frame.
    async fn refused(&mut self, refusal: Refusal, deliveries: &mut Vec<Delivery>) -> ControlFlow<Option<LoopEnd>> {
        let position = refusal.position;
        self.note("reject", &refusal.reason);
        let is_offered = deliveries.iter().any(|delivery| delivery.position == position);
        if !is_offered && position < self.cursor.position {
            // A full journal passed over it meanwhile: it is counted already.
            return Continue(());
        }
        if !is_offered && !self.state.is_held(position) {
            self.note("reject", &format!("refused position {position}, which it was not given"));
            return Break(Some(LoopEnd::Rebuild));
        }
        if !self.reject(&refusal).await {
            // The sink has forgotten the frame: it is given again from the cursor on.
            return Break(Some(LoopEnd::Rebuild));
        }
        deliveries.retain(|delivery| delivery.position != position);
        Continue(())
    }

    /// Sends what was refused to the dead letters. Returns whether that is durable.
    async fn reject(&mut self, refusal: &Refusal) -> bool {
        let frame = match self.source.frame(refusal.position).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return true,
            Err(error) => {
                self.note("dead_letter", &error.to_string());
                return false;
            }
        };
        let (frame, stored) = match &refusal.rows {
            None => (frame, None),
            Some(rows) => match part_of(frame, rows.clone()).await {
                Ok((part, others)) => (part, Some(others)),
                Err(error) => {
                    self.note("dead_letter", &format!("cannot cut position {}: {error}", refusal.position));
                    return false;
                }
            },
        };
        let (position, received_us) = (frame.position, frame.received_us);
        if self.dead_letter(frame, refusal.reason.clone()).await.is_err() {
            return false;
        }
        // The rows that were not refused count as delivered once the cursor is past them.
        match stored {
            Some(rows) => self.state.hold([HeldFrame { position, received_us, rows }].into_iter()),
            None => self.state.forget(position),
        }
        true
    }

    /// Stores a dead letter. The position counts as passed only once the letter is durable: a crash in between delivers the frame
    /// again, and never loses it.
    async fn dead_letter(&mut self, frame: Frame, reason: String) -> io::Result<()> {
        let (position, rows) = (frame.position, u64::from(frame.rows));
        let letters = self.letters.clone();
        let stored = blocking(move || letters.reject(&frame, &reason, now_us())).await;
        if let Err(error) = &stored {
            self.note("dead_letter", &format!("cannot store the dead letter of position {position}: {error}"));
            return stored;
        }
        self.metrics.rejected.with_label_values(&[self.state.name]).inc_by(rows);
        self.pass(position..position + 1);
        Ok(())
    }
}

/// A frame, or some rows of it, that the sink will never take.
struct Refusal {
    position: Position,
    /// `None` = the whole frame.
    rows: Option<Vec<usize>>,
    reason: String,
}

/// The frame with these rows alone, and how many others it had.
async fn part_of(frame: Frame, rows: Vec<usize>) -> io::Result<(Frame, u64)> {
    blocking(move || {
        let batch = decode(&frame.payload, &READ_LIMITS).map_err(io::Error::other)?;
        let part = batch.part(&rows, LETTER_LEVEL).map_err(io::Error::other)?;
        let others = batch.records.num_rows().saturating_sub(part.rows) as u64;
        let rows = u32::try_from(part.rows).map_err(io::Error::other)?;
        let (first_seq, last_seq) = (part.first_seq(), part.last_seq());
        Ok((Frame { first_seq, last_seq, rows, payload: part.bytes, ..frame }, others))
    })
    .await
}
