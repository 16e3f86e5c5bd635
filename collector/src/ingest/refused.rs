//! Keeps the last posts that were refused for good, for the status page: their senders do not send them again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// RefusedPosts kept; the oldest is forgotten past that.
pub(crate) const REFUSED_MAX: usize = 64;
/// Characters kept of each text: a peer chose some of them.
pub(crate) const TEXT_CHARS_MAX: usize = 300;

/// A post that was answered: do not send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RefusedPost {
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

/// The last [`REFUSED_MAX`].
#[derive(Debug, Default)]
pub(crate) struct RefusedPosts(Mutex<VecDeque<RefusedPost>>);

impl RefusedPosts {
    pub(crate) fn note(&self, mut refused: RefusedPost) {
        for text in [&mut refused.peer, &mut refused.reason].into_iter().chain(&mut refused.producer) {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                text.truncate(end);
            }
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= REFUSED_MAX {
            held.pop_front();
        }
        held.push_back(refused);
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<RefusedPost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_its_bounds_the_oldest_and_the_ends_of_texts_go() {
        let posts = RefusedPosts::default();
        for at_us in 0..=REFUSED_MAX as i64 {
            let long = "é".repeat(TEXT_CHARS_MAX + 1);
            let (peer, producer) = (long.clone(), Some(long.clone()));
            posts.note(RefusedPost { at_us, status: 400, outcome: "malformed", peer, producer, reason: long });
        }
        let held = posts.list();
        assert_eq!((held.len(), held[0].at_us), (REFUSED_MAX, 1));
        let texts = [Some(&held[0].peer), held[0].producer.as_ref(), Some(&held[0].reason)];
        assert!(texts.iter().flatten().all(|text| text.chars().count() == TEXT_CHARS_MAX));
    }
}
