//! System calls of a real process, as strace saw them.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// One system call that returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the system call.
    pub name: String,
    /// Arguments as strace prints them, with files by name.
    pub args: String,
    /// The value that the call returned.
    pub result: i64,
    /// Seconds since 1970 when it was entered.
    pub entered: f64,
    /// Seconds since 1970 when its return was seen, before the process went on.
    pub returned: f64,
}

/// `strace` around a program: follows its threads, and writes the given calls to `file` with their times and the names behind
/// file descriptors. `rules` are further options of strace, that make calls slow or fail.
#[must_use]
pub fn strace(file: &Path, calls: &str, rules: &[&str], program: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-T", "-yy", "-s", "0", "-e", &format!("trace={calls}"), "-o"]).arg(file);
    command.args(rules).arg(program);
    command
}

/// Reads what strace wrote, in the order in which the calls were entered. A call that was interrupted by another thread's is put
/// together again; one that never returned is left out.
///
/// # Errors
/// When a line is not as strace writes it.
pub fn read(text: &str) -> anyhow::Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (f64, String)> = HashMap::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').context("a line without thread")?;
        let (time, rest) = rest.trim_start().split_once(' ').with_context(|| format!("no time in {line:?}"))?;
        let time: f64 = time.parse().with_context(|| format!("no time in {line:?}"))?;
        // Signals and ends of threads are no calls.
        if rest.starts_with("---") || rest.starts_with("+++") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (time, begun.trim_end().to_owned()));
            continue;
        }
        let (entered, whole) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => match unfinished.remove(thread) {
                Some((entered, begun)) => (entered, format!("{begun}{end}")),
                None => continue,
            },
            None => (time, rest.to_owned()),
        };
        calls.extend(call(entered, &whole)?);
    }
    calls.sort_by(|a, b| a.entered.total_cmp(&b.entered));
    Ok(calls)
}

/// `name(args) = result … <seconds>`; none for a call that did not return.
fn call(entered: f64, text: &str) -> anyhow::Result<Option<Call>> {
    let wrong = || format!("not a call: {text:?}");
    let (head, tail) = text.rsplit_once(" = ").with_context(wrong)?;
    let (name, args) = head.trim_end().split_once('(').with_context(wrong)?;
    let result = tail.split([' ', '<']).next().unwrap_or_default();
    let Ok(result) = result.parse() else { return Ok(None) };
    let took = tail.rsplit_once('<').and_then(|(_, took)| took.strip_suffix('>')?.parse::<f64>().ok());
    let returned = entered + took.with_context(wrong)?;
    let args = args.strip_suffix(')').unwrap_or(args).to_owned();
    ensure!(!name.is_empty(), "{}", wrong());
    Ok(Some(Call { name: name.to_owned(), args, result, entered, returned }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_calls_are_put_together() {
        let text = "12 1700000000.000100 pwrite64(7</j/1.seg>, \"\"..., 512, 4096) = 512 <0.000050>
13 1700000000.000200 fdatasync(7</j/1.seg> <unfinished ...>
12 1700000000.000300 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"\"..., 20, MSG_NOSIGNAL, NULL, 0) = 20 <0.000010>
13 1700000000.010200 <... fdatasync resumed>) = 0 <0.010000>
12 1700000000.020000 fdatasync(7</j/1.seg>) = -1 EIO (Input/output error) (INJECTED) <0.000010>
14 1700000000.030000 +++ exited with 0 +++
";
        let calls = read(text).expect("reads");
        let brief: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.result)).collect();
        assert_eq!(brief, [("pwrite64", 512), ("fdatasync", 0), ("sendto", 20), ("fdatasync", -1)]);
        assert!(calls[1].args == "7</j/1.seg>" && (calls[1].returned - 1_700_000_000.010_2).abs() < 1e-6);
    }
}
