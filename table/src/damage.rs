//! Sidecars that are not what the log says of them: each is noticed once, counted and logged, and its data file is scanned.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Most parts of which is known whether they are whole. Past it all are forgotten, and looked at again.
const VERDICTS_MAX: usize = 65_536;

static DAMAGED: AtomicU64 = AtomicU64::new(0);
static VERDICTS: LazyLock<Mutex<Verdicts>> = LazyLock::new(|| Mutex::new(Verdicts::new(VERDICTS_MAX)));

/// Which parts are whole.
struct Verdicts {
    whole: HashMap<Place, bool>,
    max: usize,
}

impl Verdicts {
    fn new(max: usize) -> Self {
        Self { whole: HashMap::new(), max }
    }

    /// Remembers a verdict; whether it is a new one.
    fn remember(&mut self, place: Place, whole: bool) -> bool {
        if self.whole.len() >= self.max {
            self.whole.clear();
        }
        self.whole.insert(place, whole) != Some(whole)
    }
}

/// A part of a store. Parts never change, so what is known of one stays true.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    store: Arc<str>,
    path: Box<str>,
}

impl Place {
    /// `store`: how the store shows itself, which names its folder.
    pub(crate) fn new(store: impl Into<Arc<str>>, path: impl Into<Box<str>>) -> Self {
        Self { store: store.into(), path: path.into() }
    }
}

/// Parts of sidecars that were found missing or damaged since the process started.
#[must_use]
pub fn sidecars_damaged_total() -> u64 {
    DAMAGED.load(Ordering::Relaxed)
}

/// Whether the part is known to be whole; `None` if nobody has looked.
pub(crate) fn verdict(place: &Place) -> Option<bool> {
    VERDICTS.lock().unwrap_or_else(PoisonError::into_inner).whole.get(place).copied()
}

/// Remembers that a part is whole.
pub(crate) fn is_whole(place: Place) {
    remember(place, true);
}

/// Counts and logs a part that is missing or damaged, the first time.
pub(crate) fn is_damaged(place: Place, why: &str) {
    let path = place.path.clone();
    if remember(place, false) {
        DAMAGED.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%path, why, "a sidecar is damaged; its data file is scanned");
    }
}

fn remember(place: Place, whole: bool) -> bool {
    VERDICTS.lock().unwrap_or_else(PoisonError::into_inner).remember(place, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_bounded_and_new_once() {
        let mut verdicts = Verdicts::new(3);
        for part in 0..10 {
            let place = Place::new("store", format!("part-{part}"));
            assert!(verdicts.remember(place.clone(), part % 2 == 0));
            assert_eq!(verdicts.whole.get(&place), Some(&(part % 2 == 0)));
            assert!(verdicts.whole.len() <= 3);
        }
        assert!(!verdicts.remember(Place::new("store", "part-9"), false));
        assert!(verdicts.remember(Place::new("store", "part-9"), true));
    }
}
