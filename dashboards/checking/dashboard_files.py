"""Reads the dashboards, and finds what Grafana would show wrong or not at all."""

import json
import re

# The units in use here; each is an id of Grafana's own list (packages/grafana-data, valueFormats).
UNITS = {"none", "short", "percentunit", "s", "µs", "bytes", "Bps", "reqps", "ops"}
OPTIONS = {
    "timeseries": {"legend", "tooltip"},
    "stat": {"reduceOptions", "colorMode", "graphMode", "justifyMode", "orientation", "textMode", "wideLayout", "showPercentChange",
             "percentChangeColorMode"},
    "table": {"showHeader", "cellHeight", "frameIndex"},
}
TYPES = {"prometheus": "expr", "grafana-postgresql-datasource": "rawSql"}
GRID_WIDTH = 24


def panels(dashboard):
    """Returns the panels of a dashboard without the titles of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def query_of(target):
    """Returns (kind, text) of a target; the kind is promql or sql."""
    kind = "promql" if target["datasource"]["type"] == "prometheus" else "sql"
    return kind, target["expr" if kind == "promql" else "rawSql"]


def provisioned(path):
    """Returns the provisioned data sources: uid → type."""
    text = path.read_text()
    return dict(zip(re.findall(r"^ +uid: (\S+)$", text, re.M), re.findall(r"^ +type: (\S+)$", text, re.M), strict=True))


def problems(dashboard, sources, runbooks):
    """Returns the problems of a dashboard as sentences."""
    wrong = [f"{key} is missing" for key in ("uid", "title", "description", "schemaVersion", "time", "templating", "panels") if not dashboard.get(key)]
    if wrong:
        return wrong
    if dashboard["schemaVersion"] < 39:
        wrong.append("schemaVersion is below 39")
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    identities = [panel["id"] for panel in dashboard["panels"]]
    if len(set(identities)) != len(identities):
        wrong.append("two panels have one id")
    titles = [panel["title"] for panel in panels(dashboard)]
    wrong += [f"two panels are called {title}" for title in sorted({title for title in titles if titles.count(title) > 1})]
    wrong += _overlaps(dashboard["panels"])
    for panel in panels(dashboard):
        wrong += [f"{panel['title']}: {problem}" for problem in _panel(panel, sources, variables, runbooks)]
    return wrong


def _panel(panel, sources, variables, runbooks):
    wrong = []
    if not panel.get("description"):
        wrong.append("no description")
    if panel["type"] not in OPTIONS:
        return wrong + [f"type {panel['type']} is not used here"]
    if set(panel["options"]) != OPTIONS[panel["type"]]:
        wrong.append(f"options of a {panel['type']} are {sorted(OPTIONS[panel['type']])}")
    references = [target["refId"] for target in panel["targets"]]
    if not references or len(set(references)) != len(references):
        wrong.append("refIds are not unique")
    for target in panel["targets"]:
        wrong += _target(target, sources, panel["type"])
    defaults = panel["fieldConfig"]["defaults"]
    units = [defaults["unit"]]
    for override in panel["fieldConfig"]["overrides"]:
        units += [prop["value"] for prop in override["properties"] if prop["id"] == "unit"]
    wrong += [f"unit {unit} is unknown" for unit in units if unit not in UNITS]
    steps = defaults["thresholds"]["steps"]
    values = [step["value"] for step in steps]
    if values[0] is not None or values[1:] != sorted(values[1:]):
        wrong.append("thresholds do not rise from null")
    text = json.dumps(panel)
    used = set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"\$(\w+)", text))
    wrong += [f"variable {name} is not defined" for name in sorted(used) if not name.startswith("__") and name not in variables]
    for link in panel.get("links", []):
        name = link["url"].removeprefix("${runbook_url}/")
        if name not in runbooks:
            wrong.append(f"runbook {name} does not exist")
    return wrong


def _target(target, sources, panel_type):
    uid, kind = target["datasource"]["uid"], target["datasource"]["type"]
    if sources.get(uid) != kind:
        return [f"data source {uid} of type {kind} is not provisioned"]
    wrong = [] if target.get(TYPES[kind], "").strip() else ["an empty query"]
    if kind != "prometheus" and target["format"] == "time_series" and 'AS "time"' not in target["rawSql"] and "Alias(" not in target["rawSql"]:
        wrong.append("a time series without a column time")
    if kind != "prometheus" and target["format"] == "table" and panel_type == "timeseries":
        wrong.append("lines over time from a table")
    if kind != "prometheus" and "$__timeFilter(" not in target["rawSql"]:
        wrong.append("the query does not keep to the chosen time")
    return wrong


def _overlaps(placed):
    taken, wrong = {}, []
    for panel in placed:
        at = panel["gridPos"]
        if at["x"] < 0 or at["x"] + at["w"] > GRID_WIDTH:
            wrong.append(f"{panel['title']}: outside the grid")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken:
                wrong.append(f"{panel['title']} lies on {taken[cell]}")
                break
            taken[cell] = panel["title"]
    return wrong
