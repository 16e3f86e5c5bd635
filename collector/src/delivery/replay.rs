//! Offers dead letters to the sink again, once an operator has moved them to `replay/`.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tollgate_clock::now_us;
use tollgate_record::decode;
use tollgate_sink::{Delivery, SinkError};

use super::runner::{LoopEnd, Runner, blocking};
use crate::dlq::store::Replay;
use crate::store::READ_LIMITS;

/// Letters replayed at a time, before new frames get their turn.
const REPLAYED_MAX: usize = 64;

impl Runner {
    /// Offers the letters in `replay/` to the sink. A letter that it takes is deleted, one that it refuses again is moved
    /// back, and one that it cannot take now stays for the next look.
    pub(super) async fn replay_letters(&mut self) -> Option<LoopEnd> {
        let every = self.config.trim_interval.duration();
        if self.replayed_at.is_some_and(|at| at.elapsed() < every) {
            return None;
        }
        self.replayed_at = Some(Instant::now());
        let mut after = None;
        for _ in 0..REPLAYED_MAX {
            if self.stop.is_cancelled() {
                break;
            }
            let letters = self.letters.clone();
            let replay = match blocking(move || letters.next_to_replay(after)).await {
                Ok(Some(replay)) => replay,
                Ok(None) => break,
                Err(error) => {
                    self.note("replay", &format!("cannot read a dead letter: {error}"));
                    break;
                }
            };
            let position = replay.position;
            after = Some(position);
            match self.replay(replay).await {
                Ok(()) => {}
                Err(SinkError::Retry { reason, .. }) => {
                    self.note("replay", &reason);
                    break;
                }
                Err(SinkError::Rebuild { reason }) => {
                    self.note("rebuild", &reason);
                    return Some(LoopEnd::Rebuild);
                }
                Err(SinkError::Reject { reason, .. } | SinkError::RejectRows { reason, .. }) => {
                    self.note("replay", &format!("position {position} is put back: {reason}"));
                    let letters = self.letters.clone();
                    if let Err(error) = blocking(move || letters.put_back(position, &reason)).await {
                        self.note(
                            "replay",
                            &format!("cannot put back the dead letter of position {position}: {error}"),
                        );
                    }
                }
            }
        }
        None
    }

    /// Delivers one letter and deletes it.
    async fn replay(&mut self, replay: Replay) -> Result<(), SinkError> {
        let Replay { position, received_us, payload } = replay;
        let decoding = blocking(move || decode(&payload, &READ_LIMITS).map_err(io::Error::other)).await;
        let batch = decoding.map_err(|error| SinkError::Reject { position, reason: error.to_string() })?;
        let rows = batch.records.num_rows() as u64;
        let received_us = received_us.unwrap_or_else(now_us);
        self.sink.replay(&Delivery { position, received_us, batch: Arc::new(batch) }).await?;
        self.metrics.delivered.with_label_values(&[self.state.name]).inc_by(rows);
        tracing::info!(sink = self.state.name, position, rows, "dead letter delivered");
        let letters = self.letters.clone();
        let deleted = blocking(move || letters.replayed(position)).await;
        deleted
            .map_err(|error| SinkError::Retry { reason: format!("cannot delete a dead letter: {error}"), after: None })
    }
}
