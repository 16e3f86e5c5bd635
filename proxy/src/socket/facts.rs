//! What a socket saw: when a request began, whether one goes on, and what went wrong.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Facts of one socket. They are atomics because hyper requires `Send` sockets; they are never contended.
#[derive(Debug, Default)]
pub struct IoFacts {
    /// Microseconds after the worker's epoch, plus one, of the first byte read since the last head; 0 = none.
    first_byte_us: AtomicU64,
    /// Whether that head took more than one read.
    head_in_parts: AtomicBool,
    /// Whether the response to an accepted request is not over.
    responding: AtomicBool,
    /// Whether the body of an accepted request is not read to its end.
    receiving: AtomicBool,
    write_stalled: AtomicBool,
    /// Whether a read or a write was made, or waits for room, since [`IoFacts::take_moved`].
    pub(super) moved: AtomicBool,
    /// Why an HTTP/2 connection was cut.
    flood: OnceLock<(&'static str, String)>,
    /// Bytes read in all.
    pub read_bytes: AtomicU64,
    /// Whether the socket had nothing to read, the runtime has not woken its reader since, and no write waits for room.
    pub quiet: AtomicBool,
}

/// The first byte of a request.
#[derive(Debug, Clone, Copy)]
pub struct FirstByte {
    /// When it was read.
    pub at: Instant,
    /// Whether the same read brought the whole head.
    pub whole: bool,
}

impl IoFacts {
    /// Marks the current head as accepted, and returns when it began. `has_body` says whether a body follows it.
    pub fn take_first_byte_at(&self, epoch: Instant, has_body: bool) -> Option<FirstByte> {
        self.responding.store(true, Relaxed);
        self.receiving.store(has_body, Relaxed);
        // A load and a store: a swap would lock the bus, and this is the only reader.
        let us = self.first_byte_us.load(Relaxed);
        self.first_byte_us.store(0, Relaxed);
        let at = epoch + Duration::from_micros(us.checked_sub(1)?);
        Some(FirstByte { at, whole: !self.head_in_parts.load(Relaxed) })
    }

    /// Whether bytes of a head were read that is not accepted yet.
    #[must_use]
    pub fn has_partial_head(&self) -> bool {
        self.first_byte_us.load(Relaxed) != 0 && !self.in_request()
    }

    /// Marks the response to the current request as over.
    pub fn response_ended(&self) {
        self.responding.store(false, Relaxed);
    }

    /// Marks the body of the current request as read to its end. If a body is not read to its end, no request follows
    /// it, unless hyper finds its rest in the buffer.
    pub fn body_ended(&self) {
        self.receiving.store(false, Relaxed);
    }

    /// Whether bytes that are read belong to an accepted request. Otherwise they begin another.
    fn in_request(&self) -> bool {
        self.responding.load(Relaxed) || self.receiving.load(Relaxed)
    }

    /// Whether no request is accepted and not over, and no head has begun.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        !self.in_request() && self.first_byte_us.load(Relaxed) == 0
    }

    /// Returns whether a read or a write was made or attempted since the last call.
    pub fn take_moved(&self) -> bool {
        self.moved.swap(false, Relaxed)
    }

    /// Marks a request head as started no later than `at`. hyper had already buffered part of it.
    pub fn note_begun(&self, epoch: Instant, at: Instant) {
        self.head_in_parts.store(true, Relaxed);
        self.first_byte_us.store(at.saturating_duration_since(epoch).as_micros() as u64 + 1, Relaxed);
    }

    /// Whether a write made no progress for too long.
    #[must_use]
    pub fn write_stalled(&self) -> bool {
        self.write_stalled.load(Relaxed)
    }

    pub(super) fn note_write_stalled(&self) {
        self.write_stalled.store(true, Relaxed);
    }

    /// The metric label and a sentence, if the connection was cut because its frames asked for too much work.
    #[must_use]
    pub fn flood(&self) -> Option<(&'static str, &str)> {
        self.flood.get().map(|(cause, detail)| (*cause, detail.as_str()))
    }

    /// Records the flood's cause. The first one wins.
    pub fn note_flood(&self, cause: &'static str, detail: String) {
        self.flood.get_or_init(|| (cause, detail));
    }

    pub(super) fn note_read(&self, epoch: Instant, bytes: usize) {
        // A load and a store: an atomic addition would lock the bus, and this is the only writer.
        self.read_bytes.store(self.read_bytes.load(Relaxed) + bytes as u64, Relaxed);
        self.moved.store(true, Relaxed);
        if self.in_request() {
            return;
        }
        let begins = self.first_byte_us.load(Relaxed) == 0;
        self.head_in_parts.store(!begins, Relaxed);
        if begins {
            self.first_byte_us.store(epoch.elapsed().as_micros() as u64 + 1, Relaxed);
        }
    }
}
