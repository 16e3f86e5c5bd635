//! What the writer, the readers and trimming share: which segments there are and how far each is durable.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::options::Observer;
use crate::quarantine::Damage;
use crate::storage::{Identity, Pinned, Storage};

/// One segment file.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Tells a segment from an earlier one of the same name, in which nothing was stored.
    pub generation: u64,
    pub first: u64,
    pub name: String,
    /// Bytes before this are durable.
    pub end_offset: u64,
    /// Position after the last durable frame.
    pub end_position: u64,
    /// Damaged runs, already kept in quarantine.
    pub bad: Vec<Range<usize>>,
    /// Bytes that the file takes up on disk, preallocation included.
    pub file_bytes: u64,
    /// Which file it is.
    pub identity: Identity,
}

pub(crate) struct Shared {
    pub storage: Arc<dyn Storage>,
    pub observer: Arc<dyn Observer>,
    pub durable: watch::Sender<Option<u64>>,
    pub next_position: AtomicU64,
    pub quarantined: AtomicU64,
    pub failures: AtomicU64,
    segments: Mutex<VecDeque<Segment>>,
    /// Files that must stay where they are, beside the segments.
    pinned: Vec<Pinned>,
    is_displaced: AtomicBool,
    displaced: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        observer: Arc<dyn Observer>,
        segments: VecDeque<Segment>,
        next_position: u64,
        quarantined: u64,
        pinned: Vec<Pinned>,
    ) -> Self {
        let last = segments.iter().rev().find(|segment| segment.end_position > segment.first);
        let durable = watch::Sender::new(last.map(|segment| segment.end_position - 1));
        Self {
            storage,
            observer,
            durable,
            next_position: AtomicU64::new(next_position),
            quarantined: AtomicU64::new(quarantined),
            failures: AtomicU64::new(0),
            segments: Mutex::new(segments),
            pinned,
            is_displaced: AtomicBool::new(false),
            displaced: Mutex::new(None),
        }
    }

    /// Whether the last look found the journal's files elsewhere, and which.
    pub(crate) fn displaced(&self) -> Option<String> {
        if !self.is_displaced.load(Ordering::Acquire) {
            return None;
        }
        self.displaced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that a restart would find what was stored: folder, lock, companions, and the newest segment or all of them.
    /// Every group of frames waits for this check of the newest one, which takes a few microseconds.
    pub(crate) fn check_place(&self, whole: bool) -> Result<(), String> {
        let looked = self.look(whole);
        // A look at a part does not take back what a look at all found.
        if looked.is_err() || whole {
            let mut displaced = self.displaced.lock().unwrap_or_else(PoisonError::into_inner);
            match (&looked, &*displaced) {
                (Err(reason), None) => {
                    tracing::error!(reason, "the journal was moved or deleted: nothing is acknowledged")
                }
                (Ok(()), Some(_)) => tracing::warn!("the journal is back in its place"),
                _ => {}
            }
            *displaced = looked.as_ref().err().cloned();
            self.is_displaced.store(displaced.is_some(), Ordering::Release);
        }
        looked
    }

    fn look(&self, whole: bool) -> Result<(), String> {
        self.storage.in_place().map_err(|error| error.to_string())?;
        self.pinned.iter().try_for_each(Pinned::check).map_err(|error| error.to_string())?;
        // Under the lock: trimming deletes files under it as well.
        let segments = self.segments();
        let newest = if whole { segments.len() } else { 1 };
        for segment in segments.iter().rev().take(newest) {
            let name = &segment.name;
            match self.storage.identity(name) {
                Ok(found) if found == segment.identity => {}
                Ok(_) => return Err(format!("segment {name} was replaced")),
                Err(error) => return Err(format!("segment {name} is not there: {error}")),
            }
        }
        Ok(())
    }

    /// The list is consistent between any two statements that hold it, so a panic elsewhere does not spoil it.
    pub(crate) fn segments(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.end_offset).sum()
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.file_bytes).sum()
    }

    /// Damage found while reading what was good when the journal opened.
    pub(crate) fn report_damage(&self, generation: u64, damage: &Damage) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.generation == generation) {
            segment.bad.push(damage.bytes.clone());
        }
        self.quarantined.fetch_add(1, Ordering::Relaxed);
        self.observer.damaged(damage);
    }
}
