//! Answers beside those of another engine: the same rows through a real collector and in DuckDB, asked the same questions.

use std::process::Command;

use tollgate_tests::process::{binary, project_root, run, script};

#[test]
fn answers_are_those_of_another_engine() -> anyhow::Result<()> {
    let python = script("python-tools.sh", &[])?;
    let check = project_root().join("bench/queries/check.py");
    run(Command::new(python).arg(check).arg("--tollgate").arg(binary("tollgate")?)).map(drop)
}
