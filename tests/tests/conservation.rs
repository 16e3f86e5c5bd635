//! A few cycles of `make soak`: no acknowledged record is lost and none is doubled, whatever fails.

use anyhow::ensure;
use tollgate_tests::soak::{Fault, Plan, run};

#[test]
fn records_are_conserved_across_faults() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let faults = vec![
        Fault::CollectorKilled,
        Fault::ProxyKilledSpooling,
        Fault::HalfOpen,
        Fault::SpoolFull,
        Fault::JournalFull,
        Fault::KafkaStopped,
        Fault::TableReadOnly,
        Fault::ProxyRestarted,
    ];
    let report = run(&Plan { faults, cycles: 0, seed: 11, clients: 6, rate: 120.0 }, dir.path())?;
    println!("{report}");
    ensure!(report.verdict.problems.is_empty(), "{report}");
    ensure!(
        report.clients.answered.len() > 500 && report.acks.acknowledged.len() > 20,
        "too little happened: {report}"
    );
    Ok(())
}
