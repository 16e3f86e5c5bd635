//! Failpoints: the places where a test ends the process or makes a step fail.
//!
//! ```text
//!   post ─▶ journal.written ─▶ journal.synced ─▶ 200
//!                                   │
//!   table.sealed ─▶ file.created ─▶ file.written ─▶ file.synced ─▶ file.entered ─▶ log.staged ─▶ log.linked ─▶ log.synced
//!                                                                                                    │
//!   trim.synced ◀─ trim.removed ◀─ ledger.renamed ◀─ ledger.staged ◀─ cursor.renamed ◀─ cursor.staged ◀─ table.published
//! ```
//! and beside it `merge.written`, `merge.committed`, `checkpoint.written`, `checkpoint.checked`, `retention.committed`,
//! `vacuum.begun`.
//!
//! The environment arms them: `TOLLGATE_FAILPOINT=log.linked=kill` or `=error`, and `log.linked=kill@3` for the third
//! time that the process reaches the place; commas separate several. Each acts once. A build without debug assertions
//! has no failpoints unless the feature `failpoints` is on: [`reach`] is then an empty function.

use std::io;

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "TOLLGATE_FAILPOINT";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place between two steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All places, in the order in which a batch reaches them.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// Returns the name that [`VARIABLE`] uses.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A group of frames is written to the journal and not synced.
    JournalWritten = "journal.written",
    /// The group is synced and not acknowledged.
    JournalSynced = "journal.synced",
    /// The rows of a commit are sorted, and none of them is on disk.
    TableSealed = "table.sealed",
    /// A data file is created and empty.
    FileCreated = "file.created",
    /// A data file is written and not synced.
    FileWritten = "file.written",
    /// A data file is synced, and its entry in the folder is not.
    FileSynced = "file.synced",
    /// A data file and its entry are synced, and no commit names it.
    FileEntered = "file.entered",
    /// A log entry is synced under a temporary name, which no reader looks for.
    LogStaged = "log.staged",
    /// The log entry has its name, and the folder is not synced.
    LogLinked = "log.linked",
    /// The commit is on stable storage, and the process does not know it yet.
    LogSynced = "log.synced",
    /// Readers see the commit, and the collector was not told the position.
    TablePublished = "table.published",
    /// A new cursor is synced beside its file.
    CursorStaged = "cursor.staged",
    /// The new cursor has replaced the old one, and the folder is not synced.
    CursorRenamed = "cursor.renamed",
    /// A new ledger is synced beside its file, before a trim.
    LedgerStaged = "ledger.staged",
    /// The new ledger has replaced the old one, and the folder is not synced.
    LedgerRenamed = "ledger.renamed",
    /// A segment is deleted, and the folder is not synced.
    TrimRemoved = "trim.removed",
    /// The deletion is on stable storage.
    TrimSynced = "trim.synced",
    /// A compaction's file is on stable storage, and no commit names it.
    MergeWritten = "merge.written",
    /// A compaction is committed and not shown to readers.
    MergeCommitted = "merge.committed",
    /// A checkpoint of the table's log is written and not checked.
    CheckpointWritten = "checkpoint.written",
    /// The checkpoint is checked, and old log entries are not deleted.
    CheckpointChecked = "checkpoint.checked",
    /// Days past their retention are removed by a commit that readers do not see yet.
    RetentionCommitted = "retention.committed",
    /// Files that no snapshot names are about to be deleted.
    VacuumBegun = "vacuum.begun",
}

/// Marks that the process reaches this place. Ends the process where a test wants that.
///
/// # Errors
/// Returns EIO where a test wants the step to fail.
#[inline]
pub fn reach(point: Point) -> io::Result<()> {
    #[cfg(any(debug_assertions, feature = "failpoints"))]
    return armed::reach(point);
    #[cfg(not(any(debug_assertions, feature = "failpoints")))]
    {
        let _ = point;
        Ok(())
    }
}

/// Returns whether this build has failpoints.
pub const fn is_built_in() -> bool {
    cfg!(any(debug_assertions, feature = "failpoints"))
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod armed {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Point, VARIABLE};

    /// EIO of the operating system.
    const EIO: i32 = 5;

    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Kill,
        Error,
    }

    #[derive(Debug)]
    pub(super) struct Trap {
        pub(super) point: Point,
        pub(super) action: Action,
        /// How many times the place is still reached until the trap acts, that time included.
        pub(super) left: AtomicU32,
    }

    pub(super) fn reach(point: Point) -> io::Result<()> {
        static TRAPS: OnceLock<Vec<Trap>> = OnceLock::new();
        let traps = TRAPS.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(text) => parse(&text),
            Err(_) => Vec::new(),
        });
        for trap in traps.iter().filter(|trap| trap.point == point) {
            if trap.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) != Ok(1) {
                continue;
            }
            match trap.action {
                // No destructor runs and nothing is flushed, as when the process is killed from outside.
                Action::Kill => std::process::abort(),
                Action::Error => return Err(io::Error::from_raw_os_error(EIO)),
            }
        }
        Ok(())
    }

    /// Parses [`VARIABLE`]. An entry with an error is dropped: its test notices that it never acts.
    pub(super) fn parse(text: &str) -> Vec<Trap> {
        let trap = |entry: &str| {
            let (name, action) = entry.trim().split_once('=')?;
            let (action, times) = action.split_once('@').unwrap_or((action, "1"));
            let point = Point::ALL.iter().copied().find(|point| point.name() == name)?;
            let action = match action {
                "kill" => Action::Kill,
                "error" => Action::Error,
                _ => return None,
            };
            Some(Trap { point, action, left: AtomicU32::new(times.parse().ok()?) })
        };
        text.split(',').filter_map(trap).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::armed::{Action, parse};
    use super::*;

    #[test]
    fn every_place_has_a_name_of_its_own() {
        let names: HashSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }

    #[test]
    fn the_variable_names_places_actions_and_times() {
        let traps = parse("log.linked=kill, cursor.staged=error@3,nowhere=kill,log.linked=sing,log.linked");
        let shown: Vec<_> = traps.iter().map(|trap| (trap.point, &trap.action)).collect();
        assert_eq!(shown, [(Point::LogLinked, &Action::Kill), (Point::CursorStaged, &Action::Error)]);
        assert_eq!(traps[1].left.load(std::sync::atomic::Ordering::Relaxed), 3);
    }

    #[test]
    fn nothing_happens_where_nothing_was_asked_for() {
        assert!(Point::ALL.iter().all(|point| reach(*point).is_ok()));
    }
}
