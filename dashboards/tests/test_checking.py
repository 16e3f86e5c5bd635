#!/usr/bin/env python3
"""Tests of what check.py checks with: run by `python3 dashboards/tests/test_checking.py`."""

import copy
import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
from checking import dashboard_files, grafana, metrics, rule_files  # noqa: E402

HOUR = grafana.Range(1_700_000_000, 1_700_003_600)


class Macros(unittest.TestCase):
    """The examples of the documentation of Grafana's PostgreSQL data source."""

    def expand(self, sql, span=HOUR):
        return grafana.with_macros(sql, span)

    def test_filter(self):
        self.assertEqual(self.expand("$__timeFilter(time)"), "time BETWEEN '2023-11-14T22:13:20Z' AND '2023-11-14T23:13:20Z'")

    def test_fractions_of_a_second_are_kept_and_trailing_zeros_not(self):
        self.assertIn("22:13:20.25Z", self.expand("$__timeFrom()", grafana.Range(1_700_000_000.25, 1_700_000_100)))

    def test_group(self):
        self.assertEqual(self.expand("$__timeGroupAlias(time, 5m)"), 'floor(extract(epoch from time)/300)*300 AS "time"')
        self.assertEqual(self.expand("GROUP BY $__timeGroup(time,'1m')"), "GROUP BY floor(extract(epoch from time)/60)*60")

    def test_group_before_a_comma_names_itself(self):
        self.assertTrue(self.expand("SELECT $__timeGroup(time,1m), x").startswith('SELECT floor(extract(epoch from time)/60)*60 AS "time",'))

    def test_unknown_macros_are_refused(self):
        with self.assertRaises(ValueError):
            self.expand("$__timeSomething(time)")


class Variables(unittest.TestCase):
    def test_intervals(self):
        self.assertEqual(grafana.with_variables("[$__rate_interval] $__interval ${__range}", {}, HOUR.builtins()), "[20s] 5s 3600s")
        day = grafana.Range(0, 86_400)
        self.assertEqual(grafana.with_variables("$__interval [$__rate_interval]", {}, day.builtins()), "2m [125s]")

    def test_a_quote_stays_inside_its_string(self):
        self.assertEqual(grafana.with_variables("${service:sqlstring}", {"service": "o'brien"}, {}), "'o''brien'")

    def test_macros_are_not_variables(self):
        self.assertEqual(grafana.with_variables("$__timeFilter(time)", {}, HOUR.builtins()), "$__timeFilter(time)")

    def test_a_variable_that_the_dashboard_lacks(self):
        with self.assertRaises(KeyError):
            grafana.with_variables("$team", {}, HOUR.builtins())


class Names(unittest.TestCase):
    series = metrics.known_series(
        [metrics.Metric("tollgate_x_total", "counter", ["service"], "records"), metrics.Metric("tollgate_y_seconds", "histogram", [], "records")],
        {"tollgate:z:rate5m"},
    )

    def wrong(self, expr):
        return metrics.problems(expr, self.series)

    def test_right_ones(self):
        self.assertEqual(self.wrong('sum by (service) (rate(tollgate_x_total{service="a"}[5m]))'), [])
        self.assertEqual(self.wrong("histogram_quantile(0.9, sum by (le) (rate(tollgate_y_seconds_bucket[5m])))"), [])
        self.assertEqual(self.wrong("tollgate:z:rate5m > 1"), [])

    def test_wrong_ones(self):
        self.assertEqual(self.wrong("rate(tollgate_z_total[5m])"), ["no such metric: tollgate_z_total"])
        self.assertEqual(self.wrong("tollgate_y_seconds"), ["no such metric: tollgate_y_seconds"])
        self.assertEqual(self.wrong('tollgate_x_total{route="a"}'), ["tollgate_x_total has no label route"])
        self.assertEqual(self.wrong("sum by (route) (tollgate_x_total)"), ["nothing here has the label route"])

    def test_words_in_strings_are_no_names(self):
        self.assertEqual(self.wrong('label_replace(tollgate_x_total, "tollgate_other", "up", "service", ".*")'), [])

    def test_the_document_is_read_whole(self):
        found = {metric.name: metric for metric in metrics.registry()}
        self.assertGreater(len(found), 50)
        self.assertEqual(found["tollgate_auth_total"].labels, ["pattern", "result", "reason"])


class Rules(unittest.TestCase):
    def test_every_rule_is_read(self):
        for path in (HERE.parent / "prometheus" / "rules").glob("*.yaml"):
            written = sum(line.strip().startswith(("- alert:", "- record:")) for line in path.read_text().splitlines())
            rules = rule_files.read(path)
            self.assertEqual(len(rules), written, path)
            for rule in rules:
                self.assertTrue(rule.expr, rule)
                self.assertTrue(rule.record or (rule.labels and rule.annotations), rule)


class Dashboards(unittest.TestCase):
    """Each fault alone, put into a dashboard that is right."""

    def setUp(self):
        self.dashboard = json.loads((HERE.parent / "grafana" / "dashboards" / "tollgate-api.json").read_text())
        self.sources = dashboard_files.provisioned(HERE.parent / "grafana" / "provisioning" / "datasources" / "tollgate.yaml")
        self.runbooks = {path.name for path in (HERE.parent / "runbooks").glob("*.md")}
        self.assertEqual(self.problems(self.dashboard), [])

    def problems(self, dashboard):
        return dashboard_files.problems(dashboard, self.sources, self.runbooks)

    def fault(self, change, expected):
        dashboard = copy.deepcopy(self.dashboard)
        change(dashboard, dashboard_files.panels(dashboard)[0])
        found = self.problems(dashboard)
        self.assertTrue(any(expected in problem for problem in found), found)

    def test_faults(self):
        self.fault(lambda d, p: p["targets"][0]["datasource"].update(uid="other"), "not provisioned")
        self.fault(lambda d, p: p["targets"].append(p["targets"][0]), "refIds")
        self.fault(lambda d, p: p["gridPos"].update(w=5), "lies on")
        self.fault(lambda d, p: p["fieldConfig"]["defaults"].update(unit="furlongs"), "unit furlongs")
        self.fault(lambda d, p: p.update(description=""), "no description")
        self.fault(lambda d, p: p["targets"][0].update(expr="up{x='$team'}"), "variable team")
        self.fault(lambda d, p: p.update(links=[{"url": "${runbook_url}/Nothing.md"}]), "runbook Nothing.md")
        self.fault(lambda d, p: d["panels"][1].update(id=d["panels"][2]["id"]), "one id")
        self.fault(lambda d, p: p["fieldConfig"]["defaults"]["thresholds"]["steps"].extend([{"value": 2}, {"value": 1}]), "thresholds")


if __name__ == "__main__":
    unittest.main()
