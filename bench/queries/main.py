#!/usr/bin/env python3
"""Twelve questions to Tollgate, ClickHouse and DuckDB on the same rows, in one run: scripts/bench-queries.sh [--rows N] [QUESTION …].

`tollgate load-test` makes the rows twice from one seed: posted into a collector's ingest in batches of 4,096, and as Parquet
files for DuckDB and for ClickHouse (MergeTree, ordered as Tollgate's files are, with bloom indexes, after OPTIMIZE FINAL).
Every answer is compared: counts must be equal, percentiles within 2 %. Then each question is asked cold (a fresh process, and
the files out of the page cache as far as the kernel lets them go) and warm (the median of the rounds, engines in turn).
Tollgate is asked with roll-ups and, by a second server on the same table, without. All engines have two threads."""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import engines
from questions import QUESTIONS, TOLERANCE, differences, parameters
from site_of_bench import Site

sys.path.insert(0, str(Path(__file__).parent.parent))
import result  # noqa: E402  (bench/result.py)

WITH, WITHOUT = "Tollgate", "Tollgate, no roll-ups"
PEERS = {"duckdb": "DuckDB", "clickhouse": "ClickHouse"}
# Of the better peer's time.
TARGETS = {WITH: 0.8, WITHOUT: 1.0}
# With few rows in a group its tail is thin: one rank more or less is several per cent.
FEW_ROWS, FEW_TOLERANCE = 5_000_000, 0.1
START = "2026-09-21T06:00:00Z"
RATE = 1736


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("questions", nargs="*", help="parts of the names of questions; all by default")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--services", type=int, default=11_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", type=int, default=60, help="seconds without a change of the table's files before it counts as compacted")
    parser.add_argument("--without", action="append", default=[], choices=list(PEERS), help="leave a peer out")
    parser.add_argument("--tollgate", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", default=sys.executable, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help="where the data goes; kept if it is given")
    parser.add_argument("--json", help="a file for the result, as bench/result.py describes it")
    options = parser.parse_args()
    told = [f"--rows {options.rows}", f"--rounds {options.rounds}", *map(shlex.quote, options.questions)]
    found = result.begin("queries", f"make bench-queries ARGS={shlex.quote(' '.join(told))}")
    with tempfile.TemporaryDirectory(prefix="bench-queries-") as folder:
        folder = Path(options.folder or folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, options, found)
    if options.json:
        result.save(found, options.json)


def run(folder, options, found):
    site = Site(folder, options.tollgate)
    try:
        figure = lambda *fields, **more: found["figures"].append(result.figure(*fields, **more))
        traffic = ["--no-wait", "--start", START, "--rate", str(RATE), "--records", str(options.rows), "--seed", str(options.seed),
                   "--services", str(options.services)]
        parquet = folder / "parquet"
        if not list(parquet.glob("*.parquet")):
            print(f"writing {options.rows:,} rows as Parquet …", flush=True)
            subprocess.run([options.tollgate, "load-test", "--json", "--into", f"parquet:{parquet}", "--node", "load-1", *traffic],
                           check=True, stdout=subprocess.DEVNULL)
        collector = fill(site, traffic, options, figure)
        peers = open_peers(folder, parquet, options, figure)
        duckdb = lambda sql: peer_rows(options, parquet, sql)
        known = parameters(duckdb)
        print(json.dumps(known, default=str))
        asked = {WITH: ("tollgate", site.ports["query"]), WITHOUT: ("tollgate", site.query_server(rollups=False)[0])}
        wanted = [question for question in QUESTIONS if not options.questions or any(part in question.name for part in options.questions)]
        check_answers(wanted, known, asked, peers, options.rows)
        measure(wanted, known, asked, peers, folder, options, figure)
        figure("all", "memory of the collector with its query server, peak", round(site.rss_mib(collector)), "MiB")
    finally:
        site.close()


def peer_rows(options, parquet, sql):
    """Rows with times as Python has them: asked once, in this process."""
    import duckdb
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW t AS SELECT * REPLACE (time AT TIME ZONE 'UTC' AS time) FROM read_parquet('{parquet}/*.parquet')")
    return connection.execute(sql.replace("+00'", "'")).fetchall()


def fill(site, traffic, options, figure):
    """Loads the table through the ingest, and waits until it is compacted."""
    collector = site.collector()
    if not site.data_files():
        print("loading Tollgate …", flush=True)
        began = time.monotonic()
        report = site.load(traffic)
        committed = site.until_committed()
        settled = site.until_settled(options.settle)
        print(f"acknowledged in {report['seconds']:.1f} s, committed {committed:.1f} s later, compacted {settled:.1f} s after that; "
              f"{time.monotonic() - began:.0f} s in all", flush=True)
        figure("load", "acknowledged", round(report["seconds"], 1), "s", of=WITH)
        figure("load", "committed after the last acknowledgement", round(committed, 1), "s", of=WITH)
        figure("load", "compacted after that", round(settled, 1), "s", of=WITH)
    table = json.loads(site.page("query", "/v1/table"))
    sizes = site.sizes()
    per_row = lambda size: round(size / options.rows, 1)
    figure("disk", "data files", per_row(sizes["data"]), "bytes a record", of=WITH, target={"most": 45})
    figure("disk", "with sidecars", per_row(sum(sizes.values())), "bytes a record", of=WITH)
    print(f"table: {json.dumps(table)[:400]}; {sizes}", flush=True)
    return collector


def open_peers(folder, parquet, options, figure):
    peers = {}
    if "duckdb" not in options.without:
        size = sum(file.stat().st_size for file in parquet.glob("*.parquet"))
        figure("disk", "data files", round(size / options.rows, 1), "bytes a record", of=PEERS["duckdb"])
        peers["duckdb"] = parquet
    if "clickhouse" not in options.without:
        store = folder / "clickhouse"
        if not store.exists():
            print("loading ClickHouse …", flush=True)
            done = subprocess.run([options.python, engines.__file__, "fill-clickhouse", store, parquet], check=True, stdout=subprocess.PIPE, text=True)
            filled = json.loads(done.stdout.splitlines()[-1])
            figure("load", "inserted and merged", round(filled["seconds"], 1), "s", of=PEERS["clickhouse"])
            figure("disk", "data files", round(filled["bytes"] / options.rows, 1), "bytes a record", of=PEERS["clickhouse"])
        peers["clickhouse"] = store
    return {engine: (place, options.python) for engine, place in peers.items()}


def check_answers(wanted, known, asked, peers, rows):
    """All answers are compared with the first peer's; a difference ends the bench."""
    opened = {of: engines.Tollgate(port) for of, (_, port) in asked.items()}
    opened |= {PEERS[engine]: engines.Peer(python, engine, place) for engine, (place, python) in peers.items()}
    dialect = {of: "tollgate" for of in asked} | {name: engine for engine, name in PEERS.items()}
    table = lambda of: "transactions" if of in asked else "t"
    wrong = []
    for question in wanted:
        answers = {of: one.ask(engines.exactly(question.text(dialect[of], known, table(of))))[1] for of, one in opened.items()}
        reference = next((of for of in answers if of not in asked), WITH)
        for of, answer in answers.items():
            if different := differences(question, answers[reference], answer, TOLERANCE if rows >= FEW_ROWS else FEW_TOLERANCE):
                wrong.append(f"{question.name}: {of} and {reference} differ: {different}")
        print(f"{question.name:<42}{len(answers[reference]):>5} rows", flush=True)
    for one in opened.values():
        one.close()
    if wrong:
        raise SystemExit("\n".join(wrong))


def measure(wanted, known, asked, peers, folder, options, figure):
    cold = {}
    for question in wanted:
        opened = {of: engines.Tollgate(port) for of, (_, port) in asked.items()}
        for of in opened:
            engines.drop_caches(folder / "table")
            cold[question.name, of] = opened[of].ask(question.text("tollgate", known, "transactions"))[0]
        for engine, (place, python) in peers.items():
            engines.drop_caches(place)
            opened[PEERS[engine]] = engines.Peer(python, engine, place)
            cold[question.name, PEERS[engine]] = opened[PEERS[engine]].ask(question.text(engine, known, "t"))[0]
        dialect = {name: engine for engine, name in PEERS.items()}
        samples = {of: [] for of in opened}
        for _ in range(options.rounds):
            for of, one in opened.items():
                sql = question.text(dialect.get(of, "tollgate"), known, "t" if of in dialect else "transactions")
                samples[of].append(one.ask(sql)[0])
        for one in opened.values():
            one.close()
        report(question, samples, cold, figure)


def report(question, samples, cold, figure):
    ms = lambda seconds: round(seconds * 1e3, 1)
    middle = {of: statistics.median(of_engine) for of, of_engine in samples.items()}
    peers = {of: took for of, took in middle.items() if of not in TARGETS}
    line = f"{question.name:<42}"
    for of, took in middle.items():
        most = question.targets.get("tollgate") if of == WITH else None
        figure(question.name, "warm", ms(took), "ms", of=of, low=ms(min(samples[of])), high=ms(max(samples[of])),
               target={"most": most} if most else None)
        line += f"{of} {ms(took):>8} ms  "
    for of in middle:
        figure(question.name, "cold", ms(cold[question.name, of]), "ms", of=of)
    if peers:
        for of, most in TARGETS.items():
            if of in middle:
                figure(question.name, "warm, over the better peer", round(middle[of] / min(peers.values()), 2), "ratio", of=of,
                       target={"most": most})
                line += f"{middle[of] / min(peers.values()):.2f} "
    print(line, flush=True)


if __name__ == "__main__":
    main()
