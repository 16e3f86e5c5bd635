//! The present, which tests set.

#[cfg(test)]
use std::sync::{Arc, atomic::AtomicI64};

/// Tells the present in microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub(crate) fn now_us(&self) -> i64 {
        #[cfg(test)]
        if let Some(set) = &self.set {
            return set.load(std::sync::atomic::Ordering::SeqCst);
        }
        tollgate_clock::now_us()
    }

    /// A clock that stands still where `now_us` is set.
    #[cfg(test)]
    pub(crate) fn standing(now_us: &Arc<AtomicI64>) -> Self {
        Self { set: Some(Arc::clone(now_us)) }
    }
}
