//! The last posts that were refused for good, for the status page: their senders do not come again to say it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Refusals kept; the oldest is forgotten past that.
pub(crate) const REFUSALS_MAX: usize = 64;
/// Characters kept of each text of a refusal: a peer chose some of them.
pub(crate) const TEXT_CHARS_MAX: usize = 300;

/// A post that was answered: never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    /// When, in microseconds since the Unix epoch.
    pub at_us: i64,
    /// The HTTP status.
    pub status: u16,
    /// Label of `tollgate_ingest_batches_total`.
    pub outcome: &'static str,
    /// Subject of the client certificate.
    pub peer: String,
    /// Who the batch says it is from, if it could be read that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// What the answer said.
    pub reason: String,
}

/// The last [`REFUSALS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<VecDeque<Refused>>);

impl Refusals {
    pub(crate) fn note(&self, mut refused: Refused) {
        for text in [&mut refused.peer, &mut refused.reason].into_iter().chain(&mut refused.producer) {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                text.truncate(end);
            }
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= REFUSALS_MAX {
            held.pop_front();
        }
        held.push_back(refused);
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_its_bounds_the_oldest_and_the_ends_of_texts_go() {
        let refusals = Refusals::default();
        for at_us in 0..=REFUSALS_MAX as i64 {
            let long = "é".repeat(TEXT_CHARS_MAX + 1);
            let (peer, producer) = (long.clone(), Some(long.clone()));
            refusals.note(Refused { at_us, status: 400, outcome: "malformed", peer, producer, reason: long });
        }
        let held = refusals.list();
        assert_eq!((held.len(), held[0].at_us), (REFUSALS_MAX, 1));
        let texts = [Some(&held[0].peer), held[0].producer.as_ref(), Some(&held[0].reason)];
        assert!(texts.iter().flatten().all(|text| text.chars().count() == TEXT_CHARS_MAX));
    }
}
