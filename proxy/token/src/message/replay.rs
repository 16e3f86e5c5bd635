//! The memory of signatures that were seen.
//!
//! Two generations of `window_s` each: a signature is remembered for one to two windows, so that it is known for as
//! long as its time is accepted. A full memory refuses what is new, because forgetting would let a replay pass.

use std::collections::HashSet;

/// Why a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was seen before.
    #[error("the signature was used before; sign each request anew, with a `nonce`")]
    Replayed,
    /// The memory is full.
    #[error("too many signatures are remembered")]
    Full,
}

/// The memory.
#[derive(Debug)]
pub struct Replays {
    young: HashSet<Vec<u8>>,
    old: HashSet<Vec<u8>>,
    began_s: u64,
    window_s: u64,
    entries_max: usize,
}

impl Replays {
    /// A memory for signatures whose time is accepted for `window_s` seconds.
    #[must_use]
    pub fn new(window_s: u64, entries_max: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), began_s: 0, window_s: window_s.max(1), entries_max }
    }

    /// Notes a signature at a time, in seconds since 1970.
    ///
    /// # Errors
    /// It was seen before, or the memory is full.
    pub fn note(&mut self, signature: Vec<u8>, now_s: u64) -> Result<(), ReplayError> {
        let age = now_s.saturating_sub(self.began_s);
        if age >= 2 * self.window_s {
            self.young.clear();
        }
        if age >= self.window_s {
            self.old = std::mem::take(&mut self.young);
            self.began_s = now_s;
        }
        if self.young.contains(&signature) || self.old.contains(&signature) {
            return Err(ReplayError::Replayed);
        }
        if self.young.len() + self.old.len() >= self.entries_max {
            return Err(ReplayError::Full);
        }
        self.young.insert(signature);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_for_at_least_the_window() {
        for first_s in 1_000..1_130 {
            let mut replays = Replays::new(120, 1_000);
            replays.note(vec![0], 1_000).unwrap();
            replays.note(vec![1], first_s).unwrap();
            for now_s in first_s..first_s + 120 {
                assert_eq!(replays.note(vec![1], now_s), Err(ReplayError::Replayed), "{first_s} {now_s}");
            }
            assert_eq!(replays.note(vec![1], first_s + 240), Ok(()));
        }
    }

    #[test]
    fn a_full_memory_refuses_what_is_new_until_the_old_is_forgotten() {
        let mut replays = Replays::new(120, 2);
        replays.note(vec![1], 1_000).unwrap();
        replays.note(vec![2], 1_000).unwrap();
        assert_eq!(replays.note(vec![3], 1_000), Err(ReplayError::Full));
        assert_eq!(replays.note(vec![1], 1_000), Err(ReplayError::Replayed));
        assert_eq!(replays.note(vec![3], 1_240), Ok(()));
    }
}
