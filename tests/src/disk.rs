//! A small disk that can be filled and made read-only: a tmpfs of its own, where mounting is permitted.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process::{run, run_any};

/// File that takes up the room.
const BALLAST: &str = ".ballast";
/// Written at once while filling up; the last bytes are written one page at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// A tmpfs gives room by pages.
const PAGE_BYTES: usize = 4096;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    /// Where it is mounted.
    pub dir: PathBuf,
}

impl Disk {
    /// Mounts one of this size at `dir`. None when this user may not mount: what the test does then, it must say.
    ///
    /// # Errors
    /// When the folder cannot be created, or mounting is not permitted under CI=true, where it must be.
    pub fn mount(dir: &Path, bytes: u64) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(dir)?;
        let size = format!("size={bytes}");
        let output = run_any(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir))?;
        if output.status.success() {
            return Ok(Some(Self { dir: dir.to_path_buf() }));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let must = std::env::var("CI").is_ok_and(|ci| ci == "true") && may_mount();
        ensure!(!must, "a small disk cannot be mounted: {said}");
        eprintln!("SKIPPED: no small disk, as mounting is not permitted here: {}", said.trim());
        Ok(None)
    }

    /// Takes up all the room that is left.
    ///
    /// # Errors
    /// When the ballast cannot be written for another reason than a full disk.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = fs::File::options().create(true).append(true).open(self.dir.join(BALLAST))?;
        for bytes in [CHUNK_BYTES, PAGE_BYTES, 1] {
            let chunk = vec![0x55; bytes];
            loop {
                match ballast.write(&chunk) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the ballast cannot be removed.
    pub fn free(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.dir.join(BALLAST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes every folder on it refuse new files, or take them again. It is not mounted read-only: that fails while any file is
    /// open for writing.
    ///
    /// # Errors
    /// When the attribute cannot be set (tmpfs has it since Linux 6.6).
    pub fn set_read_only(&self, read_only: bool) -> anyhow::Result<()> {
        let attribute = if read_only { "+i" } else { "-i" };
        let mut find = Command::new("find");
        find.arg(&self.dir).args(["-type", "d", "-exec", "chattr", attribute, "{}", "+"]);
        run(&mut find).map(drop)
    }
}

/// Whether this user should be able to mount: root outside of a container that took the right away.
fn may_mount() -> bool {
    // CapEff is a bit mask; bit 21 is CAP_SYS_ADMIN (capabilities(7)).
    const SYS_ADMIN: u64 = 1 << 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SYS_ADMIN != 0)
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.free();
        // Lazily: a process of the test may still have a file open.
        let _ = run_any(Command::new("umount").arg("--lazy").arg(&self.dir));
    }
}
