//! How long after its response a transaction can be found by SQL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, ensure};
use tollgate_bench_result::{BenchResult, Figure};

use crate::cpu::percentile;
use crate::peers::Bench;

/// Sends requests one at a time and asks for each by its id until SQL answers it.
pub fn measure(bench: &Bench, samples: usize, result: &mut BenchResult) -> anyhow::Result<()> {
    let proxy = bench.variants.last().context("no proxy")?.port;
    let mut waits = Vec::with_capacity(samples);
    for _ in 0..samples {
        let request = "GET /members/1 HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
        let answer = exchange(proxy, request)?;
        let responded = Instant::now();
        let id = answer
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("x-request-id:").map(|id| id.trim().to_owned()))
            .with_context(|| format!("no X-Request-Id in {answer}"))?;
        let sql = format!(r#"{{"sql":"SELECT status FROM transactions WHERE request_id = '{id}'","format":"csv"}}"#);
        let ask = format!(
            "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{sql}",
            sql.len()
        );
        while !exchange(bench.query, &ask)?.contains("\n200") {
            ensure!(responded.elapsed().as_secs() < 30, "{id} never became queryable");
        }
        waits.push(responded.elapsed().as_secs_f64() * 1e3);
    }
    let at = |share| percentile(waits.iter().copied(), share);
    println!("## From response to SQL, {samples} transactions, one at a time, the query itself included");
    println!(
        "  p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms (the batch waits up to 200 ms to be sealed)\n",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let part = format!("from the response to the row in SQL, {samples} transactions");
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        result.add(Figure::new(&part, name, at(share), "ms"));
    }
    Ok(())
}

fn exchange(port: u16, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
