//! Configurations that follow their files, so that certificates are changed without a restart.
//!
//! The configuration is asked for before each connection is made or accepted. The files are then compared by content,
//! at most once every [`CHECK_MIN`]; when they have changed, the configuration is built again. Files that do not fit
//! together, as between the writing of a certificate and of its key, leave the configuration in force. Open connections
//! keep theirs: their owner bounds their age.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::TlsError;

/// Shortest time between two looks at the files.
const CHECK_MIN: Duration = Duration::from_secs(1);

type Build<T> = Box<dyn Fn() -> Result<Arc<T>, TlsError> + Send + Sync>;

/// A configuration that is built from files.
pub struct Rotating<T> {
    files: Vec<PathBuf>,
    build: Build<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    in_force: Arc<T>,
    /// The contents of the files at the last look, good or not; none = the files could not be read.
    seen: Option<Vec<Vec<u8>>>,
    looked: Instant,
}

/// The outcome of a look at the files.
#[derive(Debug)]
pub enum Rotation {
    /// The files are as they were.
    Unchanged,
    /// The files have changed, and the new configuration is in force.
    Changed,
    /// The files have changed and cannot be used: the old configuration stays in force.
    Kept(TlsError),
}

impl<T> Rotating<T> {
    /// Builds the first configuration.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn new(
        files: Vec<PathBuf>,
        build: impl Fn() -> Result<Arc<T>, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        // Read before building, so that a change in between is found at the next look.
        let seen = contents(&files)?;
        let state = State { in_force: build()?, seen: Some(seen), looked: Instant::now() };
        Ok(Self { files, build: Box::new(build), state: Mutex::new(state) })
    }

    /// Returns the configuration for a new connection, and the outcome if this call looked at the files. Blocks while
    /// it reads them; they are small.
    pub fn current(&self) -> (Arc<T>, Rotation) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < CHECK_MIN {
            return (state.in_force.clone(), Rotation::Unchanged);
        }
        state.looked = Instant::now();
        let rotation = self.look(&mut state);
        (state.in_force.clone(), rotation)
    }

    fn look(&self, state: &mut State<T>) -> Rotation {
        let found = match contents(&self.files) {
            Ok(found) => found,
            // The files are being renamed into place one after the other, or cannot be read: reported once.
            Err(error) => return if state.seen.take().is_some() { Rotation::Kept(error) } else { Rotation::Unchanged },
        };
        if state.seen.as_ref() == Some(&found) {
            return Rotation::Unchanged;
        }
        let built = (self.build)();
        // The build has read the files by itself: it is of these contents only if they are still there.
        let settled = contents(&self.files).is_ok_and(|again| again == found);
        if !settled {
            return Rotation::Unchanged;
        }
        state.seen = Some(found);
        match built {
            Ok(built) => {
                state.in_force = built;
                Rotation::Changed
            }
            Err(error) => Rotation::Kept(error),
        }
    }
}

impl<T> fmt::Debug for Rotating<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotating").field("files", &self.files).finish_non_exhaustive()
    }
}

fn contents(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, TlsError> {
    let read = |file: &PathBuf| std::fs::read(file).map_err(|source| TlsError::Read { file: file.clone(), source });
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use tollgate_demo_ca::{DemoCa, Lifetime};

    fn look(rotating: &Rotating<Identity>) -> Rotation {
        rotating.look(&mut rotating.state.lock().unwrap())
    }

    #[test]
    fn half_a_pair_keeps_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let ca = DemoCa::open(dir.path()).unwrap();
        let old = ca.server("pair", &["localhost"], Lifetime::days(1)).unwrap();
        let new = ca.server("next", &["localhost"], Lifetime::days(1)).unwrap();
        let (cert, key) = (dir.path().join("pair.pem"), dir.path().join("pair.key"));
        let build = {
            let (cert, key) = (cert.clone(), key.clone());
            move || Identity::load(&cert, &key).map(Arc::new)
        };
        let rotating = Rotating::new(vec![cert.clone(), key.clone()], build).unwrap();
        let before = old.identity().unwrap();
        assert!(matches!(look(&rotating), Rotation::Unchanged));
        let whole = std::fs::read(dir.path().join("next.pem")).unwrap();
        std::fs::write(&cert, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(look(&rotating), Rotation::Kept(_)), "half a file");
        assert!(matches!(look(&rotating), Rotation::Unchanged), "said once");
        std::fs::write(&cert, &whole).unwrap();
        assert!(matches!(look(&rotating), Rotation::Kept(TlsError::KeyMismatch { .. })), "half a pair");
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(look(&rotating), Rotation::Kept(TlsError::Read { .. })));
        assert_eq!(rotating.current().0.certificate().sha256, before.certificate().sha256);
        std::fs::copy(dir.path().join("next.key"), &key).unwrap();
        assert!(matches!(look(&rotating), Rotation::Changed));
        let after = new.identity().unwrap();
        assert_eq!(rotating.current().0.certificate().sha256, after.certificate().sha256);
    }
}
