//! Which file this thread is loading.
//!
//! serde gives [`Deserialize`](serde::Deserialize) no parameter of the caller's, and a value deep in a structure must
//! learn two things that its text does not say: which file it stands in ([`Spanned`](crate::Spanned)), and which folder
//! its path is relative to ([`ConfigPath`](crate::ConfigPath)). One thread-local holds both while a file is parsed.
//! Walking the finished structure instead would need a hand-written visitor in every configuration type.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::source::FileId;

thread_local! {
    static LOADING: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The file that is being loaded.
struct Context {
    file: FileId,
    folder: PathBuf,
}

/// Restores the context before it on drop.
pub(crate) struct Guard(Option<Context>);

/// Makes `file`, in `folder`, the file that this thread is loading, until the guard is dropped.
pub(crate) fn enter(file: FileId, folder: &Path) -> Guard {
    Guard(LOADING.replace(Some(Context { file, folder: folder.to_owned() })))
}

/// Returns the file that this thread is loading; the first one outside of loading.
pub(crate) fn file() -> FileId {
    LOADING.with_borrow(|context| context.as_ref().map_or(FileId::default(), |context| context.file))
}

/// Joins a relative path to the folder of the file that this thread is loading; outside of loading it stays as it is.
pub(crate) fn resolve(written: &Path) -> PathBuf {
    LOADING.with_borrow(|context| match context {
        Some(context) => context.folder.join(written),
        None => written.to_owned(),
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        LOADING.set(self.0.take());
    }
}
