#!/usr/bin/env python3
"""Checks the dashboards, rules and runbooks; and, given running servers, that every panel shows data.

    dashboards/check.py [--static]                                checks the files alone
    dashboards/check.py --metrics URL --metrics URL               also checks what running endpoints expose
    dashboards/check.py --prometheus URL --psql-port N            also runs every query of every panel and rule, as Grafana sends it
        [--since 15m] [--service NAME] [--wait 150] [--psql-host H] [--psql-user U] [--psql-database D]

Prints a table of the queries that were run. Ends with 1 and the list if anything is wrong or a panel has no data that is
not in expected_empty.json. Needs Python 3.9 alone, and psql for --psql-port.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
from checking import dashboard_files, grafana, metrics, rule_files, servers  # noqa: E402

QUESTIONS = HERE.parent / "queries" / "questions"
ANNOTATIONS = {"summary", "description", "runbook_url", "evidence_url", "evidence_command"}
Query = collections.namedtuple("Query", "place kind text instant may_be_empty")


def load():
    dashboards = [json.loads(path.read_text()) for path in sorted((HERE / "grafana" / "dashboards").glob("*.json"))]
    rules = [rule for path in sorted((HERE / "prometheus" / "rules").glob("*.yaml")) for rule in rule_files.read(path)]
    expected = json.loads((HERE / "expected_empty.json").read_text())
    return dashboards, rules, expected


def problems_of_files(dashboards, rules, expected):
    """Returns the problems that the files alone show."""
    runbooks = {path.name for path in (HERE / "runbooks").glob("*.md")}
    sources = dashboard_files.provisioned(HERE / "grafana" / "provisioning" / "datasources" / "tollgate.yaml")
    wrong = []
    for dashboard in dashboards:
        wrong += [f"{dashboard.get('uid')}: {problem}" for problem in dashboard_files.problems(dashboard, sources, runbooks)]
    if subprocess.run([sys.executable, HERE / "grafana" / "generate.py", "--check"], check=False).returncode:
        wrong.append("a dashboard differs from its source: run dashboards/grafana/generate.py")
    for rule in rules:
        if rule.alert:
            wrong += [f"{rule.alert}: {problem}" for problem in problems_of_alert(rule, runbooks)]
    wrong += [f"runbook {name} belongs to no alert" for name in sorted(runbooks - {f"{rule.alert}.md" for rule in rules})]
    titles = {(dashboard["uid"], panel["title"]) for dashboard in dashboards for panel in dashboard_files.panels(dashboard)}
    for one in expected:
        if (one["dashboard"], one["panel"]) not in titles:
            wrong.append(f"expected_empty.json: there is no panel {one['panel']} in {one['dashboard']}")
        if not one.get("reason"):
            wrong.append(f"expected_empty.json: {one['panel']} has no reason")
    tested = "".join(path.read_text() for path in (HERE / "prometheus" / "tests").glob("*.yaml"))
    for alert in sorted({rule.alert for rule in rules if rule.alert}):
        cases = [part.split("alertname:")[0] for part in tested.split(f"alertname: {alert}\n")[1:]]
        for what, found in [("fire", "exp_labels" in "".join(cases)), ("stay quiet", any("exp_alerts: []" in case for case in cases))]:
            if not found:
                wrong.append(f"{alert}: no test sees it {what}")
    return wrong


def problems_of_alert(rule, runbooks):
    wrong = []
    if rule.labels.get("severity") not in ("page", "ticket"):
        wrong.append("severity is neither page nor ticket")
    if set(rule.annotations) != ANNOTATIONS:
        return wrong + [f"annotations must be {', '.join(sorted(ANNOTATIONS))}"]
    runbook = rule.annotations["runbook_url"].rsplit("/", 1)[1]
    if runbook != f"{rule.alert}.md" or runbook not in runbooks:
        wrong.append(f"runbook {runbook} does not exist or is another alert's")
    link, command = rule.annotations["evidence_url"], rule.annotations["evidence_command"]
    question, given = link.split("/v1/questions/")[1].split("/run?")
    given = dict(parameter.split("=", 1) for parameter in given.split("&"))
    as_options = "".join(f" --{name} {value.replace(' | urlquery', '')}" for name, value in given.items())
    if command != f"tollgate ask {question}{as_options}":
        wrong.append("evidence_url and evidence_command ask different questions")
    return wrong + problems_of_question(question, given)


PARAMETER = re.compile(r"^--   (\w+) \((\w+), (required|optional|default [^)]*)\)", re.M)


def problems_of_question(question, given):
    """Returns what contradicts the header of the question in queries/questions."""
    path = QUESTIONS / f"{question}.sql"
    if not path.exists():
        return [f"there is no question {question} in queries/questions"]
    parameters = {name: (kind, rest) for name, kind, rest in PARAMETER.findall(path.read_text())}
    wrong = [f"the question {question} has no parameter {name}" for name in given if name not in parameters]
    wrong += [f"the question {question} needs {name}" for name, (_, rest) in parameters.items() if rest == "required" and name not in given]
    for name, value in given.items():
        kind = parameters.get(name, ("", ""))[0]
        pattern = {"interval": r"\d+[smhdw]", "integer": r"\d+"}.get(kind)
        if pattern and not re.fullmatch(pattern, value):
            wrong.append(f"{name}={value} is not an {kind}")
    return wrong


def problems_of_names(queries, rules):
    """Returns names and labels in PromQL that no metric has."""
    series = metrics.known_series(metrics.registry(), {rule.record for rule in rules if rule.record})
    return [f"{query.place}: {problem}" for query in queries if query.kind == "promql" for problem in metrics.problems(query.text, series)]


def problems_of_endpoints(urls):
    """Compares what running endpoints expose with docs/metrics.md."""
    known, wrong = {metric.name for metric in metrics.registry()}, []
    for url in urls:
        try:
            names = {name for name in metrics.exposed(url) if name.startswith("tollgate_")}
        except OSError as failure:
            wrong.append(f"{url} does not answer: {failure}")
            continue
        wrong += [f"{url} exposes nothing"] if not names else []
        wrong += [f"{url} exposes {name}, which is not in docs/metrics.md" for name in sorted(names - known)]
    return wrong


def queries_of(dashboards, rules, expected):
    empty = {(one["dashboard"], one["panel"]) for one in expected}
    queries = []
    for dashboard in dashboards:
        for panel in dashboard_files.panels(dashboard):
            for target in panel["targets"]:
                kind, text = dashboard_files.query_of(target)
                may_be_empty = (dashboard["uid"], panel["title"]) in empty
                place = f"{dashboard['uid']} / {panel['title']} / {target['refId']}"
                queries.append(Query(place, kind, text, target.get("instant", False), may_be_empty))
    for rule in rules:
        # A rule that finds nothing is fine: it must only be answered without an error.
        queries.append(Query(f"{rule.file} / {rule.alert or rule.record}", "promql", rule.expr, True, True))
    return queries


def run(query, span, service, options):
    """Sends a query as Grafana would. Returns (rows with data, the failure or None)."""
    text = grafana.with_variables(query.text, {"service": service}, span.builtins())
    try:
        if query.kind == "sql":
            return servers.rows_of_sql(options, grafana.with_macros(text, span)), None
        return servers.points_of_promql(options.prometheus, text, span, query.instant), None
    except servers.QueryFailed as failure:
        return 0, str(failure)


def service_to_show(prometheus):
    try:
        return servers.service_with_most_errors(prometheus) or "unknown"
    except servers.QueryFailed:
        return "unknown"


def run_all(queries, options):
    """Runs the queries whose server is given, again until all have data or the time is over. Returns the problems."""
    wanted = [query for query in queries if (options.prometheus if query.kind == "promql" else options.psql_port)]
    deadline, results, open_queries = time.time() + options.wait, {}, wanted
    while True:
        now = time.time()
        span = grafana.Range(now - grafana.duration_s(options.since), now)
        service = options.service or service_to_show(options.prometheus)
        for query in open_queries:
            results[query] = run(query, span, service, options)
        open_queries = [query for query in open_queries if results[query][1] or not (results[query][0] or query.may_be_empty)]
        if not open_queries or time.time() >= deadline:
            break
        time.sleep(2)
    for query in wanted:
        count, failure = results[query]
        verdict = "FAILS" if failure else "data" if count else "empty, as expected" if query.may_be_empty else "EMPTY"
        print(f"{verdict:<20}{count:>7}  {query.kind:<7} {query.place}")
    return [f"{query.place}: {results[query][1] or 'no data'}" for query in open_queries]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--static", action="store_true", help="check the files alone, without any server")
    arguments.add_argument("--metrics", action="append", default=[], metavar="URL")
    arguments.add_argument("--prometheus", metavar="URL")
    arguments.add_argument("--psql-port", type=int)
    arguments.add_argument("--psql-host", default="127.0.0.1")
    arguments.add_argument("--psql-user", default="grafana")
    arguments.add_argument("--psql-database", default="tollgate")
    arguments.add_argument("--service", help="value of the dashboards' variable of that name (default: the API with most errors)")
    arguments.add_argument("--since", default="15m", help="time range of the panels")
    arguments.add_argument("--wait", type=float, default=150, help="seconds to wait for data: long windows are recorded once a minute")
    options = arguments.parse_args()
    if options.static and (options.metrics or options.prometheus or options.psql_port):
        arguments.error("--static asks no server")
    if options.psql_port and not (options.prometheus or options.service):
        arguments.error("--psql-port without --prometheus needs --service")
    dashboards, rules, expected = load()
    queries = queries_of(dashboards, rules, expected)
    wrong = problems_of_files(dashboards, rules, expected)
    wrong += problems_of_names(queries, rules) + problems_of_endpoints(options.metrics)
    wrong += run_all(queries, options)
    panels = sum(len(dashboard_files.panels(dashboard)) for dashboard in dashboards)
    alerts = len({rule.alert for rule in rules if rule.alert})
    print(f"{len(dashboards)} dashboards, {panels} panels, {len(queries)} queries, {alerts} alerts, {len(wrong)} problems")
    for one in wrong:
        print(f"  {one}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
