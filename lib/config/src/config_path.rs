//! Paths in a configuration are relative to the file they are written in.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context;

/// A path in a configuration, resolved against the folder of the configuration file.
///
/// Resolution happens while the file is loaded, also for a default made with [`ConfigPath::new`] in a
/// `#[serde(default = "...")]` function. It serializes as the resolved path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigPath(PathBuf);

impl ConfigPath {
    /// Takes a path as it is written: relative to the file's folder while a configuration is loaded on this thread,
    /// unchanged otherwise.
    pub fn new(written: impl AsRef<Path>) -> Self {
        Self(context::resolve(written.as_ref()))
    }

    /// Returns the resolved path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Returns the resolved path, owned.
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
    /// Takes the path exactly as given.
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&Path> for ConfigPath {
    /// Takes the path exactly as given.
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
