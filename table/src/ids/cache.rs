//! Directories that were read, so that a look-up reads blocks only.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Directory;
use crate::damage::Place;

/// Most bytes of directories that are kept; past it all are let go and read again. Those of 1,440 files, a month, take some 4 MB.
const BYTES_MAX: usize = 32 << 20;
/// What an entry takes beside its directory: its place and the table's slot.
const ENTRY_BYTES: usize = 256;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(|| Mutex::new(Kept::new(BYTES_MAX)));

struct Kept {
    directories: HashMap<Place, Arc<Directory>>,
    bytes: usize,
    bytes_max: usize,
}

impl Kept {
    fn new(bytes_max: usize) -> Self {
        Self { directories: HashMap::new(), bytes: 0, bytes_max }
    }

    fn insert(&mut self, place: Place, directory: Arc<Directory>) {
        let bytes = directory.heap_bytes() + ENTRY_BYTES;
        if self.bytes + bytes > self.bytes_max {
            self.directories.clear();
            self.bytes = 0;
        }
        if self.bytes + bytes <= self.bytes_max && self.directories.insert(place, directory).is_none() {
            self.bytes += bytes;
        }
    }
}

pub(super) fn directory(place: &Place) -> Option<Arc<Directory>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).directories.get(place).cloned()
}

pub(super) fn keep(place: Place, directory: Arc<Directory>) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(place, directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_stay_within_their_bytes() {
        let mut kept = Kept::new(4 * ENTRY_BYTES);
        for file in 0..100 {
            let place = Place::new("store", format!("file-{file}"));
            kept.insert(place.clone(), Arc::default());
            assert!(kept.bytes <= kept.bytes_max && kept.directories.len() <= 4);
            assert!(kept.directories.contains_key(&place));
        }
    }
}
