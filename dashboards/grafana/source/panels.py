"""Builds Grafana's dashboard JSON, without the fields that Grafana fills in by itself."""

PROMETHEUS = {"type": "prometheus", "uid": "tollgate-prometheus"}
SQL = {"type": "grafana-postgresql-datasource", "uid": "tollgate-sql"}
SCHEMA_VERSION = 39
GRID_WIDTH = 24
RUNBOOKS = "https://runbooks.example/tollgate"


def prom(expr, legend="", instant=False):
    """A PromQL query. With `instant`, it asks for the latest value only, as a table."""
    query = {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend or "__auto", "editorMode": "code"}
    if instant:
        return {**query, "instant": True, "range": False, "format": "table"}
    return {**query, "instant": False, "range": True}


def or_none(label):
    """The end of a PromQL query by `label`: a line of zeros called none while there is no series, so that the panel shows 0 instead of no data."""
    return f' or on () label_replace(vector(0), "{label}", "none", "", "")'


def sql(text, series=False):
    """A SQL query; `series` if it returns time, metric and value, ordered by time."""
    text = "\n".join(line.strip() for line in text.strip().splitlines())
    return {"datasource": SQL, "rawSql": text, "format": "time_series" if series else "table", "rawQuery": True, "editorMode": "code"}


def _panel(kind, title, description, targets, unit, width, height, options, thresholds=None, custom=None, runbook=None, base="green", **defaults):
    steps = [{"color": base, "value": None}] + [{"color": color, "value": value} for value, color in thresholds or []]
    field = {"unit": unit, "color": {"mode": "palette-classic"}, "thresholds": {"mode": "absolute", "steps": steps}, **defaults}
    if custom:
        field["custom"] = custom
    panel = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": targets[0]["datasource"],
        "gridPos": {"w": width, "h": height},
        "targets": [{"refId": chr(ord("A") + i), **target} for i, target in enumerate(targets)],
        "fieldConfig": {"defaults": field, "overrides": []},
        "options": options,
    }
    if runbook:
        panel["links"] = [{"title": f"Runbook: {runbook}", "url": "${runbook_url}/" + runbook + ".md", "targetBlank": True}]
    return panel


def series(title, description, targets, unit="short", width=8, height=8, stack=False, **more):
    """Lines over time."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stack else 8, "showPoints": "never", "spanNulls": False}
    custom["stacking"] = {"mode": "normal" if stack else "none", "group": "A"}
    if more.get("thresholds"):
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, targets, unit, width, height, options, custom=custom, min=0, **more)


def stat(title, description, target, unit="short", width=4, height=4, **more):
    """One number, coloured by its thresholds."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    panel = _panel("stat", title, description, [target], unit, width, height, options, **more)
    panel["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    return panel


def table(title, description, target, width=12, height=9, units=None, links=None, hide=(), rename=None, **more):
    """Rows. `units` gives columns a unit, `links` a URL each; the columns in `hide` are left out."""
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}
    options = {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}
    panel = _panel("table", title, description, [target], "none", width, height, options, custom=custom, **more)
    for column, unit in (units or {}).items():
        _override(panel, column, {"id": "unit", "value": unit})
    for column, url in (links or {}).items():
        _override(panel, column, {"id": "links", "value": [{"title": "Open", "url": url, "targetBlank": True}]})
    if hide or rename:
        organize = {"excludeByName": {name: True for name in hide}, "indexByName": {}, "renameByName": rename or {}}
        panel["transformations"] = [{"id": "organize", "options": organize}]
    return panel


def _override(panel, column, prop):
    panel["fieldConfig"]["overrides"].append({"matcher": {"id": "byName", "options": column}, "properties": [prop]})


def row(title, *panels):
    """A titled row of panels, placed from left to right and wrapped at the width of the grid."""
    return {"title": title, "panels": list(panels)}


def constant(name, label, value):
    """A hidden variable that an installation changes once."""
    return {
        "type": "constant", "name": name, "label": label, "query": value, "hide": 2, "skipUrlSync": True,
        "current": {"text": value, "value": value, "selected": False}, "options": [],
    }


def service_variable():
    """The API to look at: one of those that the metrics know, or any other name typed in."""
    query = "label_values(tollgate_transactions_total, service)"
    return {
        "type": "query", "name": "service", "label": "API", "datasource": PROMETHEUS,
        "description": "The proxied API. Past the cap of the metrics, type its name: the SQL panels know every API.",
        "definition": query, "query": {"query": query, "refId": "service"}, "refresh": 2, "sort": 1, "regex": "/^(?!_none$).*/",
        "multi": False, "includeAll": False, "allowCustomValue": True, "hide": 0, "skipUrlSync": False, "options": [],
    }


def _place(rows):
    placed, y = [], 0
    for one in rows:
        placed.append({"type": "row", "title": one["title"], "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": GRID_WIDTH, "h": 1}})
        x, y, height = 0, y + 1, 0
        for panel in one["panels"]:
            position = panel["gridPos"]
            if x + position["w"] > GRID_WIDTH:
                x, y, height = 0, y + height, 0
            panel["gridPos"] = {"x": x, "y": y, "w": position["w"], "h": position["h"]}
            x, height = x + position["w"], max(height, position["h"])
            placed.append(panel)
        y += height
    for number, panel in enumerate(placed, start=1):
        panel["id"] = number
    return placed


def dashboard(uid, title, description, rows, variables=(), since="now-1h"):
    """A whole dashboard."""
    firing = {
        "name": "Alerts", "enable": True, "hide": False, "iconColor": "red", "datasource": PROMETHEUS,
        "target": {"refId": "Anno", "expr": 'ALERTS{alertstate="firing",severity="page"}', "interval": "30s"},
        "titleFormat": "{{alertname}}", "textFormat": "{{service}}{{sink}}{{instance}}",
    }
    links = [{
        "type": "dashboards", "title": "Tollgate", "tags": ["tollgate"], "asDropdown": False, "includeVars": False, "keepTime": True,
        "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
    }]
    return {
        "uid": uid, "title": title, "description": description, "tags": ["tollgate"], "schemaVersion": SCHEMA_VERSION, "version": 1,
        "editable": True, "graphTooltip": 1, "fiscalYearStartMonth": 0, "liveNow": False, "timezone": "browser", "weekStart": "",
        "refresh": "10s", "time": {"from": since, "to": "now"}, "timepicker": {}, "links": links, "annotations": {"list": [firing]},
        "templating": {"list": [*variables, constant("runbook_url", "Where the runbooks are", RUNBOOKS)]},
        "panels": _place(rows),
    }
