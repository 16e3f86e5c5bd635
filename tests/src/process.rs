//! Child processes: started with their output in a file, ended by their id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use anyhow::{Context, bail};

/// The folder with the project's files.
#[must_use]
pub fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A binary of this project, built by the same `cargo` invocation or the one before (`make test` builds first).
///
/// # Errors
/// When it is not there.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the test binary has no folder")?;
    let path = folder.join(name);
    if !path.exists() {
        bail!("{} is not built: run `cargo build --workspace` first (`make test` does)", path.display());
    }
    Ok(path)
}

/// Resident memory of a process without its pages of files, in bytes: the kernel takes those back as it needs them, and of a
/// binary with debug information they are many.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// At its highest so far, by the pages of files that are resident now.
    pub peak: u64,
}

/// Ticks of /proc/PID/stat a second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time in seconds that a process has used so far, user and system.
///
/// # Errors
/// When it does not run.
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("an odd /proc/PID/stat")?;
    // Fields 14 and 15 of proc(5); the first after the name is field 3.
    let times = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(times.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// A running child process; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Starts `command`, with its output in `folder/NAME.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self { child, log, name: name.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (TERM, STOP, CONT, INT).
    ///
    /// # Errors
    /// When `kill` fails.
    pub fn signal(&self, signal: &str) -> anyhow::Result<()> {
        run(Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string())).map(drop)
    }

    /// Kills it without warning, as a crash would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let name = self.name.clone();
        crate::net::wait_for(&format!("{name} to stop"), || {
            self.child.try_wait()?.with_context(|| format!("{name} is still running"))
        })
    }

    /// Resident memory of the process, now and at its highest, in bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kibibytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line in its status")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        let files = kibibytes("RssFile:")?;
        Ok(Memory { now: kibibytes("VmRSS:")?.saturating_sub(files), peak: kibibytes("VmHWM:")?.saturating_sub(files) })
    }

    /// The output so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let tail = output.char_indices().rev().nth(4_000).map_or(0, |(i, _)| i);
            eprintln!("--- the end of what {} printed:\n{}", self.name, &output[tail..]);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started or fails; the message carries what it printed.
pub fn run(command: &mut Command) -> anyhow::Result<Output> {
    let output = run_any(command)?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// Runs a command to its end, and accepts any exit status.
///
/// # Errors
/// When it cannot be started.
pub fn run_any(command: &mut Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))
}

/// Runs a script of the project's `scripts/` folder to its end and answers what it printed.
///
/// # Errors
/// When it fails.
pub fn script(name: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = run(Command::new(project_root().join("scripts").join(name)).args(args).current_dir(project_root()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A program started by a script with `start --dir D`, ended by the same script with `stop --dir D` when dropped.
#[derive(Debug)]
pub struct Scripted {
    script: &'static str,
    dir: PathBuf,
}

impl Scripted {
    /// Runs `scripts/SCRIPT start --dir DIR ARGS`.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn start(name: &'static str, dir: &Path, args: &[&str]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let started = Self { script: name, dir: dir.to_path_buf() };
        let mut all = vec!["start", "--dir", dir.to_str().context("the folder's name is not UTF-8")?];
        all.extend_from_slice(args);
        script(name, &all)?;
        Ok(started)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = script(self.script, &["stop", "--dir", self.dir.to_str().unwrap_or_default()]);
    }
}
