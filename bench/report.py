#!/usr/bin/env python3
"""Writes docs/performance.md from the results of the benches in bench/results.

bench/report.py            writes the page
bench/report.py --check    changes nothing; exit status 1 if the page is not what it would write"""

import json
import sys
from functools import partial
from pathlib import Path

import result

PAGE = result.ROOT / "docs" / "performance.md"
RESULTS = result.ROOT / "bench" / "results"
UNITS = {"us": "µs", "s": "s", "ms": "ms", "MiB": "MiB", "ratio": ""}

# The benches in the order of the page: title, and what their figures mean.
BENCHES = {
    "proxy": ("The proxy beside its peers", """
`make bench-proxy` runs the proxy, nginx, HAProxy, Envoy and Pingora one after the other in each round. The subject runs alone on
one core with one worker. The load generator, the upstream and the collector share the other core. CPU time is the user and system
time of all the subject's processes divided by the requests they answered. A figure is the median over the rounds, with the smallest
and the largest in parentheses. A ratio is taken within a round. "Tollgate, records" ships 73-column records to a collector over
mutual TLS. The bench does not show a network between the parts, or more than one worker."""),
    "delivery": ("Delivery: acknowledgements, sinks, memory, outage, recovery", """
`make bench-ingest` runs real processes. Records are made to look like a gateway's, 4,096 in a batch, about 95 bytes each when
compressed, and are encoded before the clock starts. The load generator and Kafka share the two cores with the collector, except in
`acks`, where the collector has one core of its own."""),
    "smoke": ("From the response to SQL, and bytes per record", """
`make bench-smoke` sends requests one at a time and asks for each by its id until SQL answers. The time includes the query, and up
to 200 ms in which the batch waits to be sealed. The sizes are those of records with one path only."""),
    "queries": ("Twelve questions beside ClickHouse and DuckDB", """
`make bench-queries` makes the same rows twice from one seed: posted into a collector, and as Parquet files for DuckDB and for
ClickHouse, which gets a MergeTree table ordered as Tollgate's files are, with bloom filters on ids and addresses, merged to the end.
Answers are compared before anything is timed. Warm is the median of the rounds, with engines in turn; cold is the first answer of a
fresh process (Tollgate: of a running server) with the files out of the page cache. All engines have two threads. The bench does not
show several questions at a time, or a table of many days."""),
    "day": ("A day of 150 million records", """
`make bench-day` stores a day of made-up records from 11,000 services as fast as they are acknowledged, waits until all are committed
and compacted, and asks: ids, the dashboards' panels over the whole day, and both again while 17,000 records a second come in."""),
    "record": ("One record: append, encode, compress, decode", """
`bench-record` measures the format alone: one thread, made-up data, no network and no disk. Each figure is the median batch; the low
end is the second percentile, which other programs on the machine disturb little."""),
    "routes": ("Eleven thousand services", """
`bench-routes` loads a configuration of 11,000 services with 44,000 routes, from one file and from 11,000 files. Each load runs in a
process of its own."""),
    "audit": ("An audit", """
`bench-audit` writes records with the table's own writer and runs the query of `tollgate audit` over them. Files are in the page
cache. Real records vary more than these, so that real files are larger and the share that is read is smaller."""),
    "instructions": ("Instructions", """
The tests named `budget` count instructions with callgrind. Instruction counts hardly depend on the machine; they are checked against
a budget by `make test`."""),
}

HEAD = """# Performance

`bench/report.py` writes this page from the JSON files in `bench/results/`; do not edit it. Each file holds one run of one bench with
its machine, date, version and command. `make bench-proxy`, `make bench-ingest` and `make bench-smoke` add a file and write this page
again.

**Bold** figures miss their target. All machines are shared virtual machines, so that two runs differ more than their spread
suggests. An empty cell was not measured.
"""


def number(value, unit=None):
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"


def missed(figure):
    """Whether a figure misses its target; of a range without a median, its worse end counts."""
    target, value = figure.get("target", {}), figure.get("value")
    at_worst = lambda end: value if value is not None else figure.get(end)
    if "most" in target and at_worst("high") is not None:
        return at_worst("high") > target["most"]
    if "least" in target and at_worst("low") is not None:
        return at_worst("low") < target["least"]
    return False


def measured(figure, unit=True):
    """A figure as text: median, spread, unit, note; bold if it misses its target."""
    value, low, high = (figure.get(field) for field in ("value", "low", "high"))
    show = partial(number, unit=figure["unit"])
    spread = f"{show(low)}..{show(high)}" if low is not None and high is not None else ""
    text = spread if value is None else show(value) + (f" ({spread})" if spread else "")
    if unit and text:
        text = f"{text} {UNITS.get(figure['unit'], figure['unit'])}".strip()
    if missed(figure):
        text = f"**{text}**"
    return "; ".join(part for part in (text, figure.get("note")) if part)


def target(figure):
    wanted = figure.get("target", {})
    words = {"most": "at most", "least": "at least"}
    return "".join(f"{words[kind]} {number(value, figure['unit'])}" for kind, value in wanted.items())


def table(rows):
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def in_order(values):
    return list(dict.fromkeys(values))


def comparison(name, figures):
    """One quantity of several subjects: parts in rows, subjects in columns. A target stands in the head of its column if all of the
    column have it, else in its cell."""
    unit = UNITS.get(figures[0]["unit"], figures[0]["unit"])
    cells = {(one["part"], one["of"]): one for one in figures}
    subjects = in_order(one["of"] for one in figures)
    targets = {subject: in_order(target(one) for one in figures if one["of"] == subject) for subject in subjects}
    in_head = {subject: wanted[0] for subject, wanted in targets.items() if len(wanted) == 1 and wanted[0]}

    def cell(part, subject):
        if (one := cells.get((part, subject))) is None:
            return ""
        wanted = target(one) if subject not in in_head else ""
        return f"{measured(one, unit=False)}{f' ({wanted})' if wanted else ''}"

    rows = [["", *(f"{subject} ({in_head[subject]})" if subject in in_head else subject for subject in subjects)]]
    rows += [[part, *(cell(part, subject) for subject in subjects)] for part in in_order(one["part"] for one in figures)]
    return f"{name}{f', {unit}' if unit else ''}:\n\n{table(rows)}"


def single(figures):
    rows = [["part", "figure", "measured", "target"]]
    rows += [[one["part"], one["name"], measured(one), target(one)] for one in figures]
    return table(rows)


def section(run):
    """One run of one bench."""
    machine, version = run["machine"], run["version"]
    commit = f"commit {version['commit']}" if version.get("commit") else "commit unknown"
    facts = [f"{machine['cores']} cores" if machine.get("cores") else "", f"Linux {machine['kernel']}" if
             machine.get("kernel") else "", machine.get("note", ""), commit, version.get("note", "")]
    parts = [f"### {run['date']}, {machine.get('cpu') or 'unknown CPU'}",
             f"{'; '.join(fact for fact in facts if fact)}. Command: `{run['command']}`."]
    if run["notes"]:
        parts.append("\n".join(f"- {note}" for note in run["notes"]))
    compared = [one for one in run["figures"] if "of" in one]
    for name in in_order(one["name"] for one in compared):
        parts.append(comparison(name, [one for one in compared if one["name"] == name]))
    if plain := [one for one in run["figures"] if "of" not in one]:
        parts.append(single(plain))
    return "\n\n".join(parts)


def page(runs):
    """The whole page. The newest run of a bench comes first."""
    texts = [HEAD.strip()]
    for bench, (title, meaning) in BENCHES.items():
        # Of one day, runs whose commit is known come first.
        newest = lambda run: (run["date"], run["version"].get("commit") is not None)
        of_bench = sorted((run for run in runs if run["bench"] == bench), key=newest, reverse=True)
        if of_bench:
            texts += [f"## {title}", meaning.strip(), *map(section, of_bench)]
    return "\n\n".join(texts) + "\n"


def load(folder):
    runs = []
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        found = result.problems(run)
        if run.get("bench") not in BENCHES:
            found.append(f"bench is {run.get('bench')}; there are {', '.join(BENCHES)}")
        if found:
            sys.exit(f"{path}: {'; '.join(found)}")
        runs.append(run)
    return runs


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = page(load(RESULTS))
    if arguments and (not PAGE.exists() or PAGE.read_text() != text):
        sys.exit("docs/performance.md is not what bench/results says: run bench/report.py")
    if not arguments:
        PAGE.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
