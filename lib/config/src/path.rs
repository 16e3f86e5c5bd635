//! Paths in a configuration are relative to the file they are written in.

use std::cell::RefCell;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

thread_local! {
    /// Folder of the file that this thread is loading, if it is loading one.
    static BASE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// A path in a configuration, resolved against the folder of the configuration file.
///
/// Resolution happens while the file is loaded, also for a default made with [`ConfigPath::new`] in a
/// `#[serde(default = "...")]` function. It serializes as the resolved path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigPath(PathBuf);

impl ConfigPath {
    /// A path as written: while a configuration is loaded on this thread a relative one is joined to the file's folder,
    /// otherwise it is kept.
    pub fn new(written: impl AsRef<Path>) -> Self {
        let written = written.as_ref();
        BASE.with_borrow(|base| match base {
            Some(folder) => Self(folder.join(written)),
            None => Self(written.to_owned()),
        })
    }

    /// The resolved path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The resolved path, owned.
    pub fn into_path_buf(self) -> PathBuf {
        self.0
    }
}

impl Deref for ConfigPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for ConfigPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<PathBuf> for ConfigPath {
    /// The path exactly as given.
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&Path> for ConfigPath {
    /// The path exactly as given.
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl<'de> Deserialize<'de> for ConfigPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        if written.is_empty() {
            return Err(serde::de::Error::custom("the path is empty; write a file or folder name"));
        }
        Ok(Self::new(written))
    }
}

impl Serialize for ConfigPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// While it lives, [`ConfigPath`]s made on this thread are relative to its folder. It restores the one before.
pub(crate) struct BaseFolder(Option<PathBuf>);

impl BaseFolder {
    pub(crate) fn enter(folder: &Path) -> Self {
        Self(BASE.replace(Some(folder.to_owned())))
    }
}

impl Drop for BaseFolder {
    fn drop(&mut self) {
        BASE.set(self.0.take());
    }
}
