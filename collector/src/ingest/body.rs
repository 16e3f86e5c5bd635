//! Reading a body within its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Bytes that may be held at once. Refuses instead of waiting: a peer that waits holds what it already sent.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicU64>,
    bytes_max: u64,
}

/// Bytes taken from two budgets, that of all connections and that of one; given back on drop.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    budgets: [Budget; 2],
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl HeldBytes {
    /// Nothing yet, of these budgets.
    pub(crate) fn of(budgets: [Budget; 2]) -> Self {
        Self { budgets, bytes: 0 }
    }

    /// Takes that many more from both budgets, or nothing.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let [one, other] = &self.budgets;
        if !one.take(bytes) {
            return false;
        }
        if !other.take(bytes) {
            one.give_back(bytes);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.budgets.iter().for_each(|budget| budget.give_back(self.bytes));
    }
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is larger than a batch may be.
    TooLarge,
    /// Too many bytes are held already.
    NoRoom,
    /// It did not arrive in time.
    TimedOut,
    /// The client gave up.
    Broken,
}

/// Reads a body; what `held` counts is freed with it.
pub(crate) async fn read<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    bytes_max: u64,
    time_max: Duration,
    held: &mut HeldBytes,
) -> Result<Bytes, BodyError> {
    // What is announced and too large is not read at all.
    if body.size_hint().lower() > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let reading = async {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if all.len() as u64 + data.len() as u64 > bytes_max {
                return Err(BodyError::TooLarge);
            }
            if !held.grow(data.len() as u64) {
                return Err(BodyError::NoRoom);
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    };
    timeout(time_max, reading).await.unwrap_or(Err(BodyError::TimedOut))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_body_within_its_limits_is_read_and_its_bytes_given_back() {
        let (all, own) = (Budget::new(10), Budget::new(10));
        {
            let mut held = HeldBytes::of([all.clone(), own.clone()]);
            let body = read(Full::from("0123456789"), 10, SOON, &mut held).await;
            assert_eq!(body.as_deref(), Ok(&b"0123456789"[..]));
            assert_eq!(all.used.load(Ordering::Relaxed), 10);
        }
        assert_eq!((all.used.load(Ordering::Relaxed), own.used.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn limits_refuse() {
        let (all, own) = (Budget::new(10), Budget::new(4));
        let mut held = HeldBytes::of([all.clone(), own.clone()]);
        assert_eq!(read(Full::from("0123"), 3, SOON, &mut held).await, Err(BodyError::TooLarge));
        assert_eq!(read(Full::from("01234"), 9, SOON, &mut held).await, Err(BodyError::NoRoom));
        assert_eq!(all.used.load(Ordering::Relaxed), 0);
    }
}
