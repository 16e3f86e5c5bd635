//! The result of a bench as a JSON file: figures with the machine, date, version and command that they belong to.
//!
//! ```text
//!   bench --json FILE ─▶ BenchResult ─▶ bench/results/*.json ─▶ bench/report.py ─▶ docs/performance.md
//! ```
//! `bench/result.py` describes the schema field by field and writes the same files for the benches in Python; a test
//! holds a file of this crate against its checks. Benches only depend on this crate, never a product.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

/// Version of the schema.
const SCHEMA: u32 = 1;
/// Significant digits of a measured figure.
const DIGITS: i32 = 4;

/// One run of one bench.
#[derive(Debug, Serialize)]
pub struct BenchResult {
    schema: u32,
    bench: &'static str,
    date: Option<String>,
    version: Version,
    machine: Machine,
    command: String,
    notes: Vec<&'static str>,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Version {
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: Option<String>,
    cores: Option<usize>,
    kernel: Option<String>,
}

impl BenchResult {
    /// An empty result of `bench`, a key of `BENCHES` in `bench/report.py`, on this machine and checkout.
    #[must_use]
    pub fn begin(bench: &'static str, command: impl Into<String>) -> Self {
        let changed =
            output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|out| !out.is_empty());
        Self {
            schema: SCHEMA,
            bench,
            date: output("date", &["-u", "+%F"]),
            version: Version {
                commit: output("git", &["rev-parse", "--short=7", "HEAD"]),
                note: changed.then_some("with uncommitted changes"),
            },
            machine: Machine::this(),
            command: command.into(),
            notes: if cfg!(debug_assertions) {
                vec!["Unoptimised build: these figures mean nothing."]
            } else {
                Vec::new()
            },
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The machine in one line, to be printed.
    #[must_use]
    pub fn machine(&self) -> String {
        let unknown = || "unknown".to_owned();
        format!(
            "machine: {} x {}, Linux {}; {} build",
            self.machine.cores.map_or_else(unknown, |cores| cores.to_string()),
            self.machine.cpu.clone().unwrap_or_else(unknown),
            self.machine.kernel.clone().unwrap_or_else(unknown),
            if cfg!(debug_assertions) { "unoptimised (its figures mean nothing)" } else { "release" }
        )
    }

    /// Writes the result, unless there is no file to write.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, file: Option<&Path>) -> io::Result<()> {
        let Some(file) = file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Machine {
    fn this() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cpu: model.map(|(_, model)| model.trim().to_owned()),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        }
    }
}

/// What a program prints, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    part: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    Most(f64),
    Least(f64),
}

impl Figure {
    /// A measured figure: the median, or the only measurement. It keeps four significant digits.
    #[must_use]
    pub fn new(part: impl Into<String>, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (part, name, value) = (part.into(), name.into(), rounded(value));
        Self { part, name, of: None, value, unit, low: None, high: None, target: None, note: None }
    }

    /// Something counted, which keeps every digit.
    #[must_use]
    pub fn count(part: impl Into<String>, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { value, ..Self::new(part, name, value, unit) }
    }

    /// Names the subject, where a bench compares several.
    #[must_use]
    pub fn of(self, subject: impl Into<String>) -> Self {
        Self { of: Some(subject.into()), ..self }
    }

    /// The smallest and the largest measurement.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { low: Some(rounded(low)), high: Some(rounded(high)), ..self }
    }

    /// The target is this much or less.
    #[must_use]
    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(Target::Most(target)), ..self }
    }

    /// The target is this much or more.
    #[must_use]
    pub fn at_least(self, target: f64) -> Self {
        Self { target: Some(Target::Least(target)), ..self }
    }

    /// A remark beside the figure.
    #[must_use]
    pub fn remark(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }
}

fn rounded(value: f64) -> f64 {
    let format = format!("{value:.*e}", usize::try_from(DIGITS - 1).unwrap_or(0));
    format.parse().unwrap_or(value)
}

/// Takes `--json FILE` out of a bench's arguments.
///
/// # Errors
/// If no file follows.
pub fn json_argument(arguments: &mut Vec<String>) -> Result<Option<PathBuf>, String> {
    let Some(at) = arguments.iter().position(|argument| argument == "--json") else { return Ok(None) };
    if at + 1 >= arguments.len() {
        return Err("--json needs a file".to_owned());
    }
    let file = arguments.remove(at + 1);
    arguments.remove(at);
    Ok(Some(file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_figure_keeps_four_digits_and_a_count_all() {
        let of = |figure: Figure| figure.value;
        assert_eq!(of(Figure::new("", "", 561_234.5, "")), 561_200.0);
        assert_eq!(of(Figure::new("", "", 0.123_456, "")), 0.1235);
        assert_eq!(of(Figure::count("", "", 1_041_602.0, "")), 1_041_602.0);
    }

    #[test]
    fn the_file_is_taken_out_of_the_arguments() {
        let mut arguments = ["acks", "--json", "a.json", "sinks"].map(str::to_owned).to_vec();
        assert_eq!(json_argument(&mut arguments), Ok(Some("a.json".into())));
        assert_eq!(arguments, ["acks", "sinks"]);
        assert_eq!(json_argument(&mut arguments), Ok(None));
        assert!(json_argument(&mut vec!["--json".to_owned()]).is_err());
    }
}
