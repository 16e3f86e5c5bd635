//! The journal gives a segment up only after its rows are on stable storage, as the kernel saw it.

use std::process::Command;

use crate::child;

/// One system call: its name, and the paths in it.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
}

/// The system calls of one round, in the order in which they returned.
fn trace() -> Option<Vec<Call>> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("trace");
    let run = child::command(dir.path(), 0);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-s", "4096", "-o"]).arg(&file);
    traced.args(["-e", "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat"]);
    traced.arg(run.get_program()).args(run.get_args());
    for (key, value) in run.get_envs() {
        traced.env(key, value.unwrap_or_default());
    }
    let Ok(output) = traced.output() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no strace for this test");
        eprintln!("SKIPPED: no strace for this test; run scripts/install-deps.sh test");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).expect("the trace is read");
    let mut begun = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let whole = if let Some(head) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread.to_owned(), head.to_owned());
            continue;
        } else if call.starts_with("<...") {
            // The paths stand in the first half, the result in the second.
            format!("{}{}", begun.remove(thread).unwrap_or_default(), call)
        } else {
            call.to_owned()
        };
        let name = whole.split('(').next().unwrap_or_default().to_owned();
        if whole.trim_end().ends_with("= 0") {
            calls.push(Call { name, text: whole });
        }
    }
    Some(calls)
}

/// Where the first call after `from` is that has this name and holds these texts.
fn find(calls: &[Call], from: usize, names: &[&str], texts: &[&str]) -> Option<usize> {
    let fits = |call: &Call| names.contains(&call.name.as_str()) && texts.iter().all(|text| call.text.contains(text));
    calls.iter().skip(from).position(fits).map(|at| at + from)
}

#[test]
fn a_segment_is_deleted_only_after_its_rows_the_log_and_all_folders_are_synced() {
    let Some(calls) = trace() else { return };
    const SYNC: [&str; 2] = ["fsync", "fdatasync"];
    const PLACE: [&str; 5] = ["link", "linkat", "rename", "renameat", "renameat2"];
    const REMOVE: [&str; 2] = ["unlink", "unlinkat"];
    let mut deleted = 0;
    let mut from = 0;
    while let Some(gone) = find(&calls, from, &REMOVE, &["/data/", ".seg\""]) {
        from = gone + 1;
        deleted += 1;
        let steps: [(&str, &[&str], &[&str]); 8] = [
            ("the data file", &SYNC, &["/table/date=", ".parquet>"]),
            ("its folder", &SYNC, &["/table/date=2023-11-14>"]),
            ("the log entry, under another name", &SYNC, &["/table/_delta_log/", ".json#"]),
            ("the log entry's name", &PLACE, &["/table/_delta_log/", ".json\""]),
            ("the log's folder", &SYNC, &["/table/_delta_log>"]),
            ("the cursor, under another name", &SYNC, &["/data/cursors/table.new>"]),
            ("the cursor's name", &PLACE, &["/data/cursors/table.cursor\""]),
            ("the cursors' folder", &SYNC, &["/data/cursors>"]),
        ];
        // The rows of the segment are those of the first commits: their steps must all be over, in this order. The data
        // file begins after the creation of the table, whose log entry is no commit of rows.
        let mut at = 0;
        for (what, names, texts) in steps {
            let found = find(&calls[..gone], at, names, texts);
            let Some(found) = found else { panic!("{what} is not synced before a segment is deleted: {calls:#?}") };
            at = found + 1;
        }
        assert!(find(&calls[..gone], at, &SYNC, &["/data/ledger.new>"]).is_some(), "the ledger is synced before");
        let data = find(&calls, gone, &SYNC, &["/data>"]);
        assert!(data.is_some(), "the journal's folder is synced after");
    }
    assert!(deleted > 0, "the journal was trimmed");
    // No row is in a file that is not synced: each data file that a commit names was synced before that commit.
    let synced = calls.iter().filter(|call| SYNC.contains(&call.name.as_str()) && call.text.contains(".parquet>"));
    assert!(synced.count() >= deleted, "as many files as commits");
}
