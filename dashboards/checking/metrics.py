"""Reads which metrics exist, and which of them a PromQL expression names."""

import collections
import pathlib
import re
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
Metric = collections.namedtuple("Metric", "name kind labels process")

SECTIONS = {"Every process": "every", "Proxy": "proxy", "Collector": "collector", "Derived from the records": "records"}
# What Prometheus itself provides, with the labels that our configuration gives them.
PROVIDED = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "service", "sink", "instance"}}
SCRAPED = {"job", "instance"}


def registry(path=ROOT / "docs" / "metrics.md"):
    """Returns the metrics of docs/metrics.md, which is generated from the registry in lib/telemetry."""
    metrics, process = [], None
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("## "):
            process = next((name for title, name in SECTIONS.items() if line[3:].startswith(title)), None)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if process and len(cells) == 4 and cells[0].startswith("`tollgate_"):
            labels = [] if cells[2] == "-" else [label.strip(" `") for label in cells[2].split(",")]
            metrics.append(Metric(cells[0].strip("`"), cells[1], labels, process))
    return metrics


def exposed(url):
    """Returns the names of the metrics that a running endpoint exposes, without the suffixes of histograms. Raises OSError if it does not answer."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return set(re.findall(r"^# TYPE (\S+) ", answer.read().decode(), re.M))


def known_series(metrics, recorded):
    """Returns every series that a query may name: its labels, or None if it may have any label."""
    series = {name: labels for name, labels in PROVIDED.items()}
    for metric in metrics:
        labels = set(metric.labels) | SCRAPED
        if metric.kind == "histogram":
            series[metric.name + "_bucket"] = labels | {"le"}
            series[metric.name + "_sum"] = series[metric.name + "_count"] = labels
        else:
            series[metric.name] = labels
    return {**series, **{name: None for name in recorded}}


STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def selectors(expr):
    """Returns (series name, labels that select it) for each selector of `expr`."""
    bare = GROUPING.sub(" ", STRING.sub('""', expr))
    found = []
    for name, matchers in SELECTOR.findall(bare):
        if name in PROVIDED or name.startswith("tollgate"):
            found.append((name, set(MATCHER.findall(matchers or ""))))
    return found


def problems(expr, series):
    """Returns the names in `expr` that no metric has, as sentences."""
    wrong, reachable, anything = [], set(), False
    for name, labels in selectors(expr):
        if name not in series:
            wrong.append(f"no such metric: {name}")
            continue
        allowed = series[name]
        anything |= allowed is None
        reachable |= allowed or set()
        wrong += [f"{name} has no label {label}" for label in sorted(labels - allowed)] if allowed is not None else []
    if not anything:
        grouped = {label.strip() for group in GROUPING.findall(STRING.sub('""', expr)) for label in group.split(",") if label.strip()}
        wrong += [f"nothing here has the label {label}" for label in sorted(grouped - reachable)]
    return wrong
