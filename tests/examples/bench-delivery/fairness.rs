//! The time to an acknowledgement with and without a query that takes all that it can get.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use tollgate_bench_result::{BenchResult, Figure};
use tollgate_tests::client::curl;

use crate::collector::{Collector, Sinks, within};
use crate::load::{Maker, Pace, ROWS, Spread, post};

/// Batches a second: 41,000 records.
const PER_SECOND: f64 = 10.0;
/// Rounds, each without and then with the query.
const ROUNDS: usize = 3;
/// Batches in the table before the first round.
const BEFORE: usize = 20;
/// What a query may add to the 99th percentile.
const GOAL_RATIO: f64 = 1.2;
/// Never ends by itself, and uses every thread of the engine.
const RUNAWAY: &str = r#"{"sql": "SELECT a.service, sum(length(a.path || b.path)) FROM transactions a CROSS JOIN transactions b GROUP BY 1"}"#;

/// Posts to a pace for `time`, in turns without and with the query.
pub fn measure(dir: &Path, time: Duration, result: &mut BenchResult) -> anyhow::Result<()> {
    let mut maker = Maker::new()?;
    let mut collector = Collector::start(dir, Sinks::Queried, "", None)?;
    let tls = dir.join("tls");
    let all_at_once = Pace { per_second: None, time: Duration::from_secs(600) };
    post(&tls, collector.ingest, maker.make(BEFORE)?, all_at_once)?;
    collector.wait_delivered()?;
    let mut waits = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (with_query, waits) in waits.iter_mut().enumerate() {
            let runaway = (with_query == 1).then(|| Runaway::start(collector.query)).transpose()?;
            let batches = maker.make((PER_SECOND * time.as_secs_f64()) as usize)?;
            let outcome = post(&tls, collector.ingest, batches, Pace { per_second: Some(PER_SECOND), time: time * 2 })?;
            ensure!(outcome.refused == 0, "round {round}: {} posts were refused", outcome.refused);
            waits.extend(outcome.waits);
            drop(runaway);
            within(time + Duration::from_secs(60), "the query to end", || is_idle(collector.query))?;
        }
    }
    let [without, with] = waits.map(Spread::of);
    let ratio = with.ms(99) / without.ms(99);
    println!(
        "## fairness: {:.0} records/s, {ROUNDS} rounds without and with a runaway query in turns",
        PER_SECOND * ROWS as f64
    );
    println!("without: {without}\nwith:    {with}\np99 with the query / without: {ratio:.2}");
    let part = "fairness: acknowledgements beside a query that takes all that it can get";
    result.add(Figure::new(part, "p99 without the query", without.ms(99), "ms"));
    result.add(Figure::new(part, "p99 with the query", with.ms(99), "ms"));
    result.add(Figure::new(part, "p99 with the query / without", ratio, "ratio").at_most(GOAL_RATIO));
    collector.process.stop().map(drop)
}

/// Whether a query is answered at once.
fn is_idle(port: u16) -> bool {
    let sql = r#"{"sql": "SELECT 1"}"#;
    let url = format!("http://127.0.0.1:{port}/v1/sql");
    curl(&["--header", "content-type: application/json", "--data", sql, &url]).is_ok_and(|got| got.status == 200)
}

/// A query that is asked again whenever it ends. Dropped, its client goes, and it ends with it.
struct Runaway(Child);

impl Runaway {
    fn start(port: u16) -> anyhow::Result<Self> {
        let ask = format!(
            "while :; do curl --silent --header 'content-type: application/json' --data '{RUNAWAY}' http://127.0.0.1:{port}/v1/sql; done"
        );
        let shell = Command::new("timeout").args(["600", "sh", "-c", &ask]).stdout(Stdio::null()).spawn()?;
        Ok(Self(shell))
    }
}

impl Drop for Runaway {
    fn drop(&mut self) {
        // `timeout` hands the signal on to the shell and curl, which are its group.
        let ended = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if ended.is_ok() {
            let _status = self.0.wait();
        }
    }
}
