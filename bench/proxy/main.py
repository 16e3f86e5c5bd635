#!/usr/bin/env python3
"""Tollgate's proxy beside nginx, HAProxy, Envoy and Pingora, in one run: scripts/bench-proxy.sh [--seconds N] [PART …].

Parts: keepalive http2 tls handshake-full handshake-resumed large routes idle stall. Every subject runs alone on core 0 with
one worker; load generator, upstream and collector share core 1. Each round loads every subject once, in turn; figures are
medians over the rounds with the smallest and largest, ratios are taken within a round. CPU is user and system time of all
the subject's processes over the requests answered; requests a second are what one core gave while the load generator had
one core too. The proxy as it is shipped was built with a profile of itself under the first six of these loads; `unprofiled`
is the same without, measured beside it under those six. On a machine with other work on those cores only CPU figures mean
something, and those little."""

import argparse
import json
import os
import shlex
import signal
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import load
from subjects import OTHER_CORE, Bench

sys.path.insert(0, str(Path(__file__).parent.parent))
import result  # noqa: E402  (bench/result.py)

GOALS = {"nginx, log off": 1.00, "nginx, JSON log": 0.80, "pingora": 0.60, "envoy": 0.35, "tollgate": 1.03}
# Resident memory that the proxy may take, idle and with all idle connections, in MiB.
IDLE_GOALS = (20, 95)
CONNECTIONS = 32
ROUTES = 11_000
OURS = "tollgate, records"


def workloads(seconds):
    url = "http://127.0.0.1:{0.plain}/members/4711?page=2".format
    secure = "https://127.0.0.1:{0.tls}/members/4711?page=2".format
    large = "http://127.0.0.1:{0.plain}/large".format
    return {
        "keepalive": ("HTTP/1.1 keepalive, 0.7 KB", lambda s: load.wrk(url(s), CONNECTIONS, seconds)),
        "http2": ("HTTP/2 over TLS, 0.7 KB", lambda s: load.h2load(secure(s), seconds)),
        "tls": ("HTTP/1.1 keepalive over TLS, 0.7 KB", lambda s: load.wrk(secure(s), CONNECTIONS, seconds)),
        "handshake-full": ("full TLS 1.3 handshake and one request", lambda s: load.handshakes(s.tls, seconds, False)),
        "handshake-resumed": ("resumed TLS 1.3 handshake and one request",
                              lambda s: load.handshakes(s.tls, seconds, True)),
        "large": ("HTTP/1.1 keepalive, 1 MB", lambda s: load.wrk(large(s), 8, seconds)),
    }


def middle(values):
    return statistics.median(values)


def spread(values, digits=1):
    return f"{middle(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def measured(subject, run):
    pids = subject.pids()
    before = load.cpu_seconds(pids)
    sample = run(subject)
    sample["cpu_us"] = (load.cpu_seconds(pids) - before) * 1e6 / sample["requests"]
    sample["rate"] = sample["requests"] / sample["seconds"]
    sample["rss_mib"] = load.rss_mib(pids)
    return sample


def rounds_of(subjects, run, rounds):
    samples = {subject.name: [] for subject in subjects}
    for nth in range(rounds + 1):
        for subject in subjects:
            sample = measured(subject, run)
            if nth:  # The first round warms up.
                samples[subject.name].append(sample)
    return samples


def ratio(samples, name, base, field="cpu_us"):
    return [a[field] / b[field] for a, b in zip(samples[name], samples[base])]


def table(title, samples, results, key):
    print(f"\n## {title}")
    print(f"{'':<20}{'CPU us/request':>26}{'requests/s':>12}{'p50 us':>9}{'p99 us':>9}{'p99.9 us':>10}{'RSS MiB':>9}")
    for name, of in samples.items():
        row = {field: middle([one[field] for one in of]) for field in of[0]}
        cpu = spread([one["cpu_us"] for one in of])
        print(f"{name:<20}{cpu:>26}{row['rate']:>12.0f}{row['p50']:>9.0f}{row['p99']:>9.0f}{row['p999']:>10.0f}"
              f"{row['rss_mib']:>9.1f}")
    if OURS in samples:
        for base in samples:
            if base != OURS:
                goal = f", goal {GOALS[base]:.2f}" if base in GOALS else ""
                print(f"  {OURS} / {base}: {spread(ratio(samples, OURS, base), 2)}{goal}", flush=True)
    results[key] = samples


def routes(bench, names, seconds, rounds, results):
    """What a request costs with 11,000 services (ours: with 44,000 routes) over what it costs with one."""
    run_one = lambda s: load.wrk(f"http://127.0.0.1:{s.plain}/api-1/members/4711?page=2", CONNECTIONS, seconds)
    run_many = lambda s: load.wrk(f"http://127.0.0.1:{s.plain}/", CONNECTIONS, seconds, ROUTES)
    print(f"\n## {ROUTES} services: CPU of a request over its CPU with one route")
    for name in names:
        if name == "pingora":
            continue
        one, many = bench.subject(name), bench.subject(name, ROUTES)
        pairs = [(measured(one, run_one), measured(many, run_many)) for _ in range(rounds + 1)][1:]
        ratios = [b["cpu_us"] / a["cpu_us"] for a, b in pairs]
        rss = middle([b["rss_mib"] for _, b in pairs])
        print(f"{name:<20}{spread(ratios, 2):>22}  {middle([b['cpu_us'] for _, b in pairs]):.1f} us, RSS {rss:.1f} MiB",
              flush=True)
        results.setdefault("routes", {})[name] = pairs
        for subject in (one, many):
            bench.end(subject.process)


def idle(bench, names, count, results):
    print(f"\n## RSS: idle, and with {count} idle TLS connections that have served one request each")
    for name in names:
        subject = bench.subject(name)
        before = load.rss_mib(subject.pids())
        opened = load.idle_connections(subject.tls, count)
        after = load.rss_mib(subject.pids())
        for one in opened:
            one.close()
        bench.end(subject.process)
        print(f"{name:<20}{before:>8.1f} MiB {after:>8.1f} MiB  {(after - before) * 1024 / count:.1f} KiB each", flush=True)
        results.setdefault("idle", {})[name] = [before, after]


def stall(bench, seconds, rounds, results):
    """The same load while the collector answers and while it is stopped, in turn."""
    subject = bench.subject(OURS)
    run = partial(measured, subject, lambda s: load.wrk(f"http://127.0.0.1:{s.plain}/members/1", CONNECTIONS, seconds))
    run()
    pairs = []
    for _ in range(rounds):
        healthy = run()
        bench.collector.send_signal(signal.SIGSTOP)
        try:
            stalled = run()
        finally:
            bench.collector.send_signal(signal.SIGCONT)
        pairs.append((healthy, stalled))
    print("\n## A stalled collector: with it stopped over with it running")
    for field in ("p50", "p99", "p999", "cpu_us", "rss_mib"):
        print(f"  {field:<8} {spread([b[field] / a[field] for a, b in pairs], 2)}", flush=True)
    results["stall"] = pairs


def summary(values, digits):
    """Median and ends, as a figure has them."""
    low, middle_of_all, high = (round(of(values), digits) for of in (min, middle, max))
    return {"value": middle_of_all, **({"low": low, "high": high} if len(values) > 1 else {})}


def figures(results, titles, idle_count):
    """The results as figures of bench/result.py."""
    found = []

    def add(part, name, values, unit, digits=1, **more):
        found.append({"part": part, "name": name, **summary(values, digits), "unit": unit,
                      **{field: given for field, given in more.items() if given is not None}})

    for part, title in titles.items():
        for subject, samples in results.get(part, {}).items():
            for field, name, unit in (("cpu_us", "CPU time per request", "us"), ("rate", "requests per second", "1/s"),
                                      ("p50", "p50", "us"), ("p99", "p99", "us"), ("p999", "p99.9", "us")):
                add(title, name, [one[field] for one in samples], unit, 1 if field == "cpu_us" else 0, of=subject)
        for base in results.get(part, {}):
            if OURS in results[part] and base != OURS:
                goal = {"most": GOALS[base]} if base in GOALS else None
                add(title, f"CPU of {OURS}, over the CPU of", ratio(results[part], OURS, base), "ratio", 2, of=base,
                    target=goal)
    for subject, pairs in results.get("routes", {}).items():
        add(f"{ROUTES} services", "CPU time per request over one service (Tollgate: four routes each)",
            [many["cpu_us"] / one["cpu_us"] for one, many in pairs], "ratio", 2, of=subject)
    for subject, sizes in results.get("idle", {}).items():
        for part, size, goal in zip(("idle", f"{idle_count} idle TLS connections"), sizes, IDLE_GOALS):
            goal = {"most": goal} if subject.startswith("tollgate") and idle_count == 10_000 else None
            add(part, "resident memory", [size], "MiB", of=subject, target=goal)
    for field, name in (("p50", "p50"), ("p99", "p99"), ("cpu_us", "CPU time per request"), ("rss_mib", "resident memory")):
        if pairs := results.get("stall"):
            add("collector stopped over collector running", name, [b[field] / a[field] for a, b in pairs], "ratio", 2)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts to run, all by default")
    parser.add_argument("--seconds", type=int, default=4, help="of one load of one subject")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--only", action="append", help="subjects, by the beginning of their names")
    parser.add_argument("--json", help="a file for the result, as bench/result.py describes it")
    parser.add_argument("--samples", help="a file for every sample")
    for tool in ("proxy", "unprofiled", "collector", "pingora", "envoy"):
        parser.add_argument(f"--{tool}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    told = [f"--seconds {options.seconds}", f"--rounds {options.rounds}", *(f"--only {one}" for one in options.only or []),
            *options.parts]
    found = result.begin("proxy", f"make bench-proxy ARGS={shlex.quote(' '.join(told))}")
    os.sched_setaffinity(0, {int(OTHER_CORE)})
    loads = workloads(options.seconds)
    parts = options.parts or [*loads, "routes", "idle", "stall"]
    if unknown := set(parts) - {*loads, "routes", "idle", "stall"}:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    results = {}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-proxy-") as folder, Bench(
                folder, options.proxy, options.collector, options.pingora, options.envoy, options.unprofiled) as bench:
            run_parts(bench, parts, loads, options, results)
    finally:
        # A part that fails, after an hour perhaps, does not take the others' figures with it.
        if options.samples:
            Path(options.samples).write_text(json.dumps(results))
        if options.json:
            found["figures"] = figures(results, {part: title for part, (title, _) in loads.items()}, options.idle)
            result.save(found, options.json)


def run_parts(bench, parts, loads, options, results):
    """Measures the parts in turn, and puts their samples into `results`."""
    names = [name for name in bench.known() if not options.only or any(map(name.startswith, options.only))]
    profiled = [name for name in names if not name.startswith("unprofiled")]
    if used := [part for part in parts if part in loads]:
        subjects = [bench.subject(name) for name in names]
        for part in used:
            title, run = loads[part]
            table(title, rounds_of(subjects, run, options.rounds), results, part)
        for subject in subjects:
            bench.end(subject.process)
    if "routes" in parts:
        routes(bench, profiled, options.seconds, options.rounds, results)
    if "idle" in parts:
        idle(bench, profiled, options.idle, results)
    if "stall" in parts and bench.collector:
        stall(bench, options.seconds, options.rounds, results)



if __name__ == "__main__":
    main()
