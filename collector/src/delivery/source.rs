//! Reads the next frames of one sink: recent batches from memory, older ones from the journal.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tollgate_journal::{Frame, Journal, JournalError, Reader};
use tollgate_record::decode;
use tollgate_sink::{Delivery, Position};

use crate::store::READ_LIMITS;
use crate::store::committed::Committed;

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    pub frames_max: usize,
    pub rows_max: usize,
}

/// Reads for one sink.
pub(crate) struct Source {
    committed: Arc<Committed>,
    journal: Arc<Journal>,
    /// `None` while a blocking thread reads with it.
    reader: Option<Reader>,
    portion: Portion,
}

/// A frame, or one that this build cannot decode.
pub(crate) enum Taken {
    Delivery(Delivery),
    Undecodable(Frame, String),
}

impl Taken {
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Delivery(delivery) => delivery.position,
            Self::Undecodable(frame, _) => frame.position,
        }
    }
}

impl Source {
    pub(crate) fn new(committed: Arc<Committed>, journal: Arc<Journal>, portion: Portion) -> Self {
        Self { committed, journal, reader: None, portion }
    }

    /// First position that the journal holds, and the one that comes next.
    pub(crate) fn held(&self) -> (Position, Position) {
        (self.journal.first_position(), self.journal.next_position())
    }

    /// Frames from `next` on that are durable, in order; none if there is none yet.
    pub(crate) async fn take(&mut self, next: Position) -> Result<Vec<Taken>, JournalError> {
        let Some(last) = *self.committed.last.borrow() else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        let mut rows = 0;
        for position in next..=last {
            let Some(delivery) = self.committed.recent.get(position) else { break };
            rows += delivery.batch.records.num_rows();
            taken.push(Taken::Delivery(delivery));
            if taken.len() >= self.portion.frames_max || rows >= self.portion.rows_max {
                break;
            }
        }
        if taken.is_empty() && next <= last { self.read(next, last).await } else { Ok(taken) }
    }

    async fn read(&mut self, next: Position, last: Position) -> Result<Vec<Taken>, JournalError> {
        let portion = self.portion;
        self.with_reader(move |reader| {
            reader.seek(next);
            let mut taken = Vec::new();
            let mut rows = 0;
            while taken.len() < portion.frames_max && rows < portion.rows_max && reader.position() <= last {
                let Some(frame) = reader.next()? else { break };
                rows += frame.rows as usize;
                taken.push(match decode(&frame.payload, &READ_LIMITS) {
                    Ok(batch) => {
                        let (position, received_us) = (frame.position, frame.received_us);
                        Taken::Delivery(Delivery { position, received_us, batch: Arc::new(batch) })
                    }
                    Err(error) => Taken::Undecodable(frame, error.to_string()),
                });
            }
            Ok(taken)
        })
        .await
    }

    /// One frame as it was posted.
    pub(crate) async fn frame(&mut self, position: Position) -> Result<Option<Frame>, JournalError> {
        self.with_reader(move |reader| {
            reader.seek(position);
            Ok(reader.next()?.filter(|frame| frame.position == position))
        })
        .await
    }

    /// Frames and records at these positions, as far as they can be read.
    pub(crate) async fn count(&mut self, from: Position, to: Position) -> Result<(u64, u64), JournalError> {
        self.with_reader(move |reader| {
            reader.seek(from);
            let (mut frames, mut rows) = (0, 0);
            while reader.position() < to {
                match reader.next() {
                    Ok(Some(frame)) if frame.position < to => {
                        (frames, rows) = (frames + 1, rows + u64::from(frame.rows))
                    }
                    Ok(_) => break,
                    Err(JournalError::Trimmed { first, .. }) => reader.seek(first),
                    Err(error) => return Err(error),
                }
            }
            Ok((frames, rows))
        })
        .await
    }

    async fn with_reader<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let mut reader = self.reader.take().unwrap_or_else(|| self.journal.reader(0));
        let read = spawn_blocking(move || {
            let answer = read(&mut reader);
            (reader, answer)
        });
        match read.await {
            Ok((reader, answer)) => {
                self.reader = Some(reader);
                answer
            }
            Err(error) => Err(JournalError::Io {
                action: "read",
                name: "the journal".to_owned(),
                source: io::Error::other(error),
            }),
        }
    }
}
