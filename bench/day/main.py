#!/usr/bin/env python3
"""A day of 150 million records on this machine: scripts/bench-day.sh [--rows N] [PART …].

`tollgate load-test` makes the rows as they are sent, along the curve of a day, from 11,000 services. Measured are the times to
acknowledge, commit and compact all of them, bytes on disk, memory, look-ups by id, the SQL of the dashboards' panels over the
day, and the same questions while 17,000 records a second come in. It does not show: a cold page cache, or a table of many days."""

import argparse
import datetime
import json
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "queries"),
                str(Path(__file__).parent.parent.parent / "dashboards")]
import engines  # noqa: E402
from checking import grafana  # noqa: E402
import result  # noqa: E402
from site_of_bench import NODE, Site  # noqa: E402

START = "2026-09-21T00:00:00Z"
NEEDLES = 20
ROUNDS = 5
PEAK = 17_000
LOADED_MOST = 1.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts of the names of questions, all by default: id panel")
    parser.add_argument("--rows", type=int, default=150_000_000)
    parser.add_argument("--peak", type=int, default=PEAK, help="records a second that come in beside the queries")
    parser.add_argument("--services", type=int, default=11_000)
    parser.add_argument("--settle", type=int, default=60, help="seconds without a change of the table's files before it counts as compacted")
    parser.add_argument("--tollgate", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help="where the data goes; kept if it is given")
    parser.add_argument("--json", help="a file for the result, as bench/result.py describes it")
    options = parser.parse_args()
    found = result.begin("day", f"make bench-day ARGS={shlex.quote(f'--rows {options.rows}')}")
    with tempfile.TemporaryDirectory(prefix="bench-day-") as folder:
        folder = Path(options.folder or folder).resolve()
        site = Site(folder, options.tollgate)
        try:
            run(site, options, found)
        finally:
            site.close()
            # A part that fails does not take the others' figures with it.
            if options.json:
                result.save(found, options.json)


def run(site, options, found):
    def figure(part, name, value, unit, most=None):
        found["figures"].append(result.figure(part, name, value, unit, target={"most": most} if most and options.rows >= 150_000_000 else None))
        print(f"{part:<12}{name:<50}{value:>12} {unit}", flush=True)

    collector = site.collector()
    if not site.data_files():
        rate = str(options.rows / 86_400)
        report = site.load(["--no-wait", "--diurnal", "--start", START, "--rate", rate, "--records", str(options.rows), "--services",
                            str(options.services)])
        committed = site.until_committed(7200)
        settled = site.until_settled(options.settle, 7200)
        figure("store", "acknowledged", round(report["seconds"], 1), "s")
        figure("store", "acknowledged a second", report["per_second"], "1/s")
        figure("store", "wait for an acknowledgement, p99", report["ack_ms"]["p99"], "ms")
        figure("store", "committed after that", round(committed, 1), "s")
        figure("store", "compacted after that", round(settled, 1), "s")
        figure("store", "in all", round(report["seconds"] + committed + settled, 1), "s", 900)
    sizes = site.sizes()
    table = json.loads(site.page("query", "/v1/table"))
    figure("disk", "data files, sidecars and log", round(sum(sizes.values()) / 1e9, 2), "GB", 6.8)
    figure("disk", "sidecars", round(sizes["sidecars"] / 1e9, 2), "GB")
    figure("disk", "data files a record", round(sizes["data"] / options.rows, 1), "bytes", 45)
    figure("disk", "data files of the day", table.get("files") or site.data_files(), "files", 48)
    figure("memory", "collector, peak", round(site.rss_mib(collector)), "MiB")

    port, process = site.query_server(rollups=True)
    server = engines.Tollgate(port)
    questions = [one for one in needles(server) + panels(server) if not options.parts or any(part in one[0] for part in options.parts)]
    quiet = ask_all(server, questions, figure, "warm")
    with loaded(site, options):
        busy = ask_all(server, questions, None, None)
    ratios = [busy[name] / quiet[name] for name in quiet if name in busy]
    figure("beside", f"queries beside {options.peak:,} records a second, over without, median", round(statistics.median(ratios), 2), "ratio", LOADED_MOST)
    figure("beside", "the worst of them", round(max(ratios), 2), "ratio")
    figure("memory", "query server, peak", round(site.rss_mib(process)), "MiB", 2048)


def needles(server):
    """Look-ups by id, at times drawn over the day."""
    draw, found = random.Random(1), []
    while len(found) < 2 * NEEDLES:
        second = draw.uniform(0, 84_000)
        at = f"TIMESTAMP '2026-09-21T00:00:00Z' + INTERVAL '{second:.0f} seconds'"
        sql = (f"SELECT request_id, correlation_id FROM transactions WHERE time >= {at} AND time < {at} + INTERVAL '20 minutes' "
               "AND correlation_id IS NOT NULL LIMIT 1")
        rows = server.ask(sql)[1]
        if rows:
            request, correlation = rows[0]
            found.append(("request id", f"SELECT * FROM transactions WHERE request_id = '{request}'", 10))
            found.append(("correlation id", f"SELECT * FROM transactions WHERE correlation_id = '{correlation}'", 15))
    return found


def panels(server):
    """The SQL of the dashboards' panels as Grafana sends it for the whole day, and for the busiest service where one is asked for."""
    found, begin = [], datetime.datetime.fromisoformat(START).timestamp()
    span = grafana.Range(begin, begin + 86_400)
    busiest = server.ask("SELECT service FROM transactions WHERE service IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")[1][0][0]
    for file in sorted((result.ROOT / "dashboards" / "grafana" / "dashboards").glob("*.json")):
        for title, sql in raw_sql(json.loads(file.read_text())):
            try:
                sql = grafana.with_variables(sql, {"service": busiest}, span.builtins())
            except KeyError as variable:
                print(f"LEFT OUT: panel {title}: it asks for {variable}", flush=True)
                continue
            found.append((f"panel: {title}", grafana.with_macros(sql, span), 200))
    return found


def raw_sql(node, title=""):
    """Every rawSql below a node of a dashboard, with its panel's title."""
    if isinstance(node, dict):
        title = node.get("title") or title
        if isinstance(node.get("rawSql"), str) and node["rawSql"].strip():
            yield title, node["rawSql"]
        for value in node.values():
            yield from raw_sql(value, title)
    elif isinstance(node, list):
        for value in node:
            yield from raw_sql(value, title)


def ask_all(server, questions, figure, part):
    """The median of the warm times of each question, in seconds; one that the server refuses is told and left out."""
    times, most = {}, {}
    for name, sql, limit in questions:
        try:
            server.ask(sql)
            samples = [server.ask(sql)[0] for _ in range(ROUNDS)]
        except RuntimeError as error:
            print(f"LEFT OUT: {name}: {str(error)[:200]}", flush=True)
            continue
        times.setdefault(name, []).append(statistics.median(samples))
        most[name] = limit
    middle = {name: statistics.median(samples) for name, samples in times.items()}
    if figure:
        for name, seconds in middle.items():
            figure(part, name, round(seconds * 1e3, 1), "ms", most[name])
    return middle


class loaded:
    """Records come in, from now on and of this time, while the block runs."""

    def __init__(self, site, options):
        self.command = [site.tollgate, "load-test", "--node", NODE, "--tls", str(site.folder / "tls"), "--collector",
                        f"127.0.0.1:{site.ports['ingest']}", "--rate", str(options.peak), "--duration", "2h", "--services", str(options.services)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    main()
