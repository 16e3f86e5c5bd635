//! The two writers of results agree: what this crate saves passes the checks of `bench/result.py`.

use std::path::Path;
use std::process::Command;

use tollgate_bench_result::{BenchResult, Figure};

#[test]
fn the_checks_in_python_find_nothing_wrong() -> Result<(), Box<dyn std::error::Error>> {
    let mut result = BenchResult::begin("delivery", "make bench-ingest");
    result.add(Figure::new("acks", "p99", 162.0, "ms").between(150.0, 170.0).at_most(100.0).remark("a remark"));
    result.add(Figure::count("acks", "batches", 3.0, "batches").at_least(2.0).of("a subject"));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("new/result.json");
    result.save(Some(&file))?;
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder")?;
    let check = "import json, sys, result; print('\\n'.join(result.problems(json.load(open(sys.argv[1])))))";
    let output = Command::new("python3").args(["-B", "-c", check]).arg(&file).current_dir(bench).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "");
    Ok(())
}
