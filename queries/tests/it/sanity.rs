//! A look at a larger table; ignored by default, as it takes a while. It prints, and asserts only what must hold.

use std::time::{Duration, Instant};

use tollgate_queries::find::find;
use tollgate_queries::{HttpServer, Limits, PgServer, QueryService};

use super::fixture::{Fixture, PRODUCERS, append};

const ROWS: i64 = 1_500_000;
const BATCH: i64 = 4_000;

/// `cargo test --release -p tollgate-queries -- --ignored --nocapture a_million`; with TOLLGATE_SERVE_SECONDS set it then
/// runs both servers for that long.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a table of 1.5 million rows"]
async fn an_id_among_a_million_rows_is_found_at_once() {
    let rows: i64 = std::env::var("TOLLGATE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(ROWS);
    let mut fixture = Fixture::empty(Limits::default()).await;
    fixture.base_us = fixture.time_us(0) - rows * 500;
    let started = Instant::now();
    let time = |fixture: &Fixture, row: i64| fixture.base_us + row * 500;
    for batch in 0..rows / BATCH {
        let producer = PRODUCERS[(batch % 2) as usize];
        let mut builder = fixture.builder(producer);
        for row in batch * BATCH..(batch + 1) * BATCH {
            append(&mut builder, row, row + 1, time(&fixture, row));
        }
        let sealed = builder.seal(1).expect("sealed");
        fixture.deliver(&sealed.bytes).await;
        if batch % 32 == 31 {
            fixture.commit().await;
        }
    }
    let files = fixture.table.snapshot().files.len();
    println!("{rows} rows in {files} files and hot rows, made in {:?}", started.elapsed());
    for row in [7, rows / 2 + 7, rows - BATCH + 7, rows / 3] {
        let producer = PRODUCERS[(row / BATCH % 2) as usize];
        let tag = tollgate_record::id::producer_tag(producer);
        let id = tollgate_record::id::RequestId::from_parts(time(&fixture, row), tag, row + 1).to_string();
        for round in ["cold", "warm"] {
            let asked = Instant::now();
            let story = find(&fixture.engine, &id).await.expect("story");
            println!("find row {row}, {round}: {:?}", asked.elapsed());
            assert_eq!(story.matches.len(), 1);
        }
        let result = fixture.engine.query(&format!("SELECT * FROM transactions WHERE request_id = '{id}'")).await;
        println!("  {:?}", result.expect("answer").scanned);
    }
    for sql in [
        "SELECT count(*) FROM transactions",
        "SELECT service, status, count(*) FROM transactions GROUP BY 1, 2",
        "SELECT service, approx_percentile_cont(total_us, 0.99) FROM transactions GROUP BY 1",
        "SELECT * FROM transactions ORDER BY time DESC LIMIT 50",
        "SELECT * FROM transactions WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736' LIMIT 10",
        "SELECT count(*) FROM transactions WHERE path = '/members/999999'",
    ] {
        let result = fixture.engine.query(sql).await.expect(sql);
        println!("{:>8.1} ms  {sql}", result.elapsed.as_secs_f64() * 1e3);
    }
    serve(&fixture).await;
}

async fn serve(fixture: &Fixture) {
    let Some(seconds) = std::env::var("TOLLGATE_SERVE_SECONDS").ok().and_then(|text| text.parse().ok()) else {
        return;
    };
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let services: [Box<dyn QueryService>; 2] =
        [Box::new(PgServer { address: at(25_432) }), Box::new(HttpServer { address: at(28_088) })];
    for service in services {
        let running = service.start(fixture.engine.clone(), Box::pin(std::future::pending())).await.expect("started");
        println!("serving {} at {} for {seconds} s", running.name, running.address);
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
