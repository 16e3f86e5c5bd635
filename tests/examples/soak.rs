//! `make soak [ARGS="--cycles 200 --seed 7 --rate 200"]`: hundreds of faults, and at the end nothing that was acknowledged is
//! missing and nothing is there twice. Without a seed it takes one from the clock, and prints it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use tollgate_tests::soak::{Plan, run};

/// Clients at once.
const CLIENTS: u32 = 12;

fn main() -> anyhow::Result<()> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut plan = Plan { faults: Vec::new(), cycles: 200, seed, clients: CLIENTS, rate: 200.0 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--cycles" => plan.cycles = value.parse()?,
            "--seed" => plan.seed = value.parse()?,
            "--rate" => plan.rate = value.parse()?,
            _ => bail!("{name} is unknown; there are --cycles, --seed and --rate"),
        }
    }
    let dir = tempfile::tempdir()?;
    let outcome = run(&plan, dir.path());
    let failed = outcome.as_ref().is_ok_and(|report| !report.verdict.problems.is_empty());
    if outcome.is_err() || failed {
        // Logs tell why; the disks are gone with the run.
        println!("what the processes printed is kept in {}", dir.keep().display());
    }
    let report = outcome?;
    println!("\n{report}");
    if failed {
        bail!("{} problems; run again with --seed {}", report.verdict.problems.len(), plan.seed);
    }
    Ok(())
}
