//! Clients that people have: curl, nghttp and h2load. What they ask for they get, and each request leaves one record.

use std::process::Command;

use tollgate_conformance::gate::Gate;
use tollgate_conformance::tool;
use tollgate_tests::client::curl;
use tollgate_tests::process::run;
use tollgate_upstreams::{Behaviour, Upstream};

/// Requests of one load.
const LOAD_REQUESTS: usize = 400;

/// A proxy before a sample upstream.
struct Rig {
    gate: Gate,
    _origin: Upstream,
    _runtime: tokio::runtime::Runtime,
}

fn rig() -> Rig {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = runtime.block_on(Upstream::start(([127, 0, 0, 1], 0).into(), Behaviour::Healthy)).unwrap();
    let gate = Gate::start(origin.addr, "", "").unwrap();
    Rig { gate, _origin: origin, _runtime: runtime }
}

#[test]
fn curl_speaks_every_version_and_form() {
    let rig = rig();
    let plain = format!("http://{}/bytes/1000", rig.gate.plain);
    let tls = format!("https://localhost:{}/bytes/1000", rig.gate.tls.port());
    let ca = rig.gate.ca().display().to_string();
    let body = rig.gate.dir().join("body");
    std::fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let from_file = format!("@{}", body.display());
    let table: [(&str, &[&str], &str, i64); 9] = [
        ("1.1", &[], &plain, 0),
        ("1.0", &["--http1.0"], &plain, 0),
        ("1.1", &["--head"], &plain, 0),
        ("1.1", &["--data-binary", &from_file, "--header", "Expect: 100-continue"], &plain, 100_000),
        ("1.1", &["--data-binary", &from_file, "--header", "Transfer-Encoding: chunked"], &plain, 100_000),
        ("2", &["--http2", "--cacert", &ca], &tls, 0),
        ("2", &["--http2", "--cacert", &ca, "--head"], &tls, 0),
        ("2", &["--http2", "--cacert", &ca, "--data-binary", &from_file], &tls, 100_000),
        ("1.1", &["--http1.1", "--cacert", &ca], &tls, 0),
    ];
    for (_, args, url, _) in &table {
        let got = curl(&[args, &[*url][..]].concat()).unwrap();
        assert_eq!((got.exit, got.status), (0, 200), "{args:?} {url}: {got:?}");
    }
    let rows = rig.gate.finish().unwrap();
    assert_eq!(rows.len(), table.len(), "{rows:#?}");
    for ((version, args, ..), row) in table.iter().zip(&rows) {
        assert_eq!(row["network.protocol.version"], *version, "{args:?}");
        assert_eq!(row["http.response.status_code"], 200, "{args:?}");
        assert_eq!(row["tollgate.termination"], "complete", "{args:?}");
    }
    let sent: Vec<i64> = rows.iter().map(|row| row["http.request.body.size"].as_i64().unwrap()).collect();
    assert_eq!(sent, table.map(|(.., bytes)| bytes));
}

#[test]
fn nghttp_and_h2load_find_as_many_answers_as_there_are_records() {
    let install = "run scripts/install-deps.sh test";
    let (Some(nghttp), Some(h2load)) = (tool::find("nghttp", install), tool::find("h2load", install)) else { return };
    let rig = rig();
    let tls = format!("https://127.0.0.1:{}/bytes/1000", rig.gate.tls.port());
    let plain = format!("http://{}/bytes/1000", rig.gate.plain);
    let data = rig.gate.dir().join("data");
    std::fs::write(&data, vec![b'x'; 70_000]).unwrap();
    let printed =
        run(Command::new(nghttp).args(["--no-verify-peer", "--null-out", "--stat", "--data"]).arg(&data).arg(&tls));
    assert!(String::from_utf8_lossy(&printed.unwrap().stdout).contains(" 200 "), "nghttp got no 200");
    let load = LOAD_REQUESTS.to_string();
    for url in [&["-m10", &tls][..], &["--h1", &plain]] {
        let printed = run(Command::new(&h2load).args(["-n", &load, "-c4"]).args(url)).unwrap();
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        assert!(printed.contains(&format!("{load} succeeded, 0 failed, 0 errored, 0 timeout")), "{printed}");
    }
    let rows = rig.gate.finish().unwrap();
    assert_eq!(rows.len(), 1 + 2 * LOAD_REQUESTS);
    let of_version = |version| rows.iter().filter(|row| row["network.protocol.version"] == version).count();
    assert_eq!((of_version("2"), of_version("1.1")), (1 + LOAD_REQUESTS, LOAD_REQUESTS));
    assert_eq!(rows[0]["http.request.body.size"], 70_000);
    assert!(rows.iter().all(|row| row["http.response.status_code"] == 200 && row["error.type"].is_null()));
}
