//! The errors of the journal, and who can do something about each.

use std::io;
use std::path::PathBuf;

/// Opening, reading or trimming failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The options contradict each other.
    #[error("journal option `{key}`: {problem}")]
    Options {
        /// Name of the option.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Another process writes this journal.
    #[error("journal folder {} is in use by another collector: stop that one, or give this one its own `journal.dir`", .dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("journal: cannot {action} {name}: {source}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// File or folder.
        name: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// Positions lie between two segments that no file holds.
    #[error(
        "journal: positions {from}..{to} are missing before segment {segment}: put the missing segment file back, or set \
         `journal.accept_missing: true` once to go on without those frames"
    )]
    MissingSegment {
        /// First position that is missing.
        from: u64,
        /// First position that is there again.
        to: u64,
        /// The segment that starts at `to`.
        segment: String,
    },
    /// A segment was written by a version that this one does not read.
    #[error(
        "journal: segment {segment} has format version {version}, this build reads {supported}: use the build that wrote it to drain it"
    )]
    Version {
        /// File name.
        segment: String,
        /// Version found.
        version: u32,
        /// Version that this build reads and writes.
        supported: u32,
    },
    /// A reader asked for frames that are already deleted.
    #[error("journal: position {position} was trimmed, the first one held is {first}")]
    Trimmed {
        /// The position that was asked for.
        position: u64,
        /// The first position that the journal still holds.
        first: u64,
    },
}

impl JournalError {
    pub(crate) fn io(action: &'static str, name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        move |source| Self::Io { action, name, source }
    }
}

/// A frame was not stored. The sender still has it, and may send it again.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The journal or its disk is at its limit; trimming makes room.
    #[error("journal is full: {reason}")]
    Full {
        /// Which limit, with its value.
        reason: String,
    },
    /// The disk fails. The journal opens a new segment as soon as the disk lets it.
    #[error("journal is unavailable: {reason}")]
    Unavailable {
        /// The operating system's error.
        reason: String,
    },
    /// The journal's files are not where they were: a restart would not find what was stored. Over once they are put back.
    #[error("journal was moved or deleted under the collector: {reason}; put it back, or restart the collector")]
    Displaced {
        /// What is missing, or was replaced.
        reason: String,
    },
    /// The frame can never be stored.
    #[error("frame of {bytes} bytes is over the journal's limit of {bytes_max}")]
    TooLarge {
        /// Size of the frame.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The journal is closed.
    #[error("journal is closed")]
    Closed,
}
