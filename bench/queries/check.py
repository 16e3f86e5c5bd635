#!/usr/bin/env python3
"""Compares Tollgate's answers with DuckDB's on the same rows: check.py --tollgate PROGRAM --rows N. Exit status 1 if one differs.

The twelve questions of the bench are asked, and every saved question that DuckDB can be asked as well. The rows go through a real
collector; the answers are compared while a part of the rows is hot, and again once all of them are in merged files, with roll-ups and
without."""

import argparse
import sys
import tempfile

import engines
import saved
from questions import QUESTIONS, differences, parameters
from site_of_bench import NODE, Site

START = "2026-09-21T06:00:00Z"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tollgate", required=True)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--services", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        site = Site(folder, options.tollgate, merge_every="1s")
        try:
            wrong = run(site, options)
        finally:
            site.close()
    for one in wrong:
        print(f"DIFFERS: {one}")
    sys.exit(1 if wrong else 0)


def run(site, options):
    # Over two hours, so that the last one is a part.
    traffic = ["--no-wait", "--start", START, "--rate", str(options.rows / 7200), "--records", str(options.rows),
               "--services", str(options.services)]
    parquet = site.folder / "parquet"
    site.run("load-test", "--json", "--into", f"parquet:{parquet}", "--node", NODE, *traffic)
    site.collector()
    site.load(traffic)
    duckdb = saved.connection(parquet)
    known = parameters(lambda sql: duckdb.execute(sql).fetchall())
    wrong = compare(site.ports["query"], duckdb, known, "hot")
    site.until_committed(120)
    site.until("every file is merged and has roll-ups", site.has_rollups, 180)
    print(f"{len(site.live_files())} files, {site.sizes()}", flush=True)
    wrong += compare(site.ports["query"], duckdb, known, "merged")
    wrong += compare(site.query_server(rollups=False)[0], duckdb, known, "merged, no roll-ups")
    return wrong


def compare(port, duckdb, known, state):
    server, wrong = engines.Tollgate(port), []
    for question in QUESTIONS:
        ours = server.ask(question.text("tollgate", known, "transactions"))[1]
        theirs = [[engines.plain(value) for value in row] for row in duckdb.execute(engines.exactly(question.text("duckdb", known, "t"))).fetchall()]
        if not theirs:
            wrong.append(f"{question.name}: no rows to compare")
        if found := differences(question, ours, theirs):
            wrong.append(f"{question.name}, {state}: {found}")
    wrong += [f"{one}, {state}" for one in saved.compare(server, duckdb, known)]
    print(f"{state}: compared", flush=True)
    server.close()
    return wrong


if __name__ == "__main__":
    main()
