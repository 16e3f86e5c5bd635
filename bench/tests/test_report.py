#!/usr/bin/env python3
"""The page of figures: what is bold, how a figure reads, and that a broken result is refused."""

import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BENCH), str(BENCH / "proxy")]
import main as proxy_bench  # noqa: E402
import report  # noqa: E402
import result  # noqa: E402


def a_run(*figures, bench="delivery", date="2026-11-29"):
    return {"schema": result.SCHEMA, "bench": bench, "date": date, "version": {"commit": "abc1234"},
            "machine": {"cpu": "a CPU", "cores": 2, "kernel": "6.18"}, "command": "make x", "notes": ["a note"],
            "figures": list(figures)}


class Figures(unittest.TestCase):
    def test_a_median_with_its_spread(self):
        figure = result.figure("acks", "p99", 1500, "us", low=9, high=12000.5)
        self.assertEqual(report.measured(figure), "1,500 (9..12,000.5) µs")

    def test_a_missed_target_is_bold(self):
        for target, bold in (({"most": 2}, True), ({"most": 3}, False), ({"least": 4}, True), ({"least": 3}, False)):
            with self.subTest(target=target):
                figure = result.figure("acks", "p99", 3, "ms", target=target)
                self.assertEqual(report.measured(figure), "**3 ms**" if bold else "3 ms")

    def test_the_worse_end_of_a_range_without_a_median_decides(self):
        figure = result.figure("acks", "p99", None, "ms", low=90, high=110, target={"most": 100})
        self.assertEqual(report.measured(figure), "**90..110 ms**")

    def test_what_was_not_measured_says_why(self):
        self.assertEqual(report.measured(result.figure("idle", "memory", None, "MiB", note="not measured")), "not measured")

    def test_a_ratio_keeps_its_digits_and_has_no_unit(self):
        self.assertEqual(report.measured(result.figure("tls", "CPU", 0.6, "ratio")), "0.60")


class Page(unittest.TestCase):
    def test_subjects_are_columns_and_a_target_of_all_rows_is_in_the_head(self):
        ratios = [result.figure(part, "CPU over", value, "ratio", of="nginx", target={"most": 1.0})
                  for part, value in (("tls", 0.5), ("http2", 1.5))]
        text = report.page([a_run(*ratios)])
        self.assertIn("|  | nginx (at most 1.00) |\n|---|---|\n| tls | 0.50 |\n| http2 | **1.50** |", text)

    def test_the_newest_run_comes_first(self):
        text = report.page([a_run(date="2026-11-25"), a_run(date="2026-11-29")])
        self.assertLess(text.index("### 2026-11-29"), text.index("### 2026-11-25"))

    def test_the_page_names_machine_version_and_command(self):
        self.assertIn("### 2026-11-29, a CPU\n\n2 cores; Linux 6.18; commit abc1234. Command: `make x`.\n\n- a note",
                      report.page([a_run()]))


class Results(unittest.TestCase):
    def test_what_is_saved_is_loaded(self):
        run = a_run(result.figure("acks", "rate", 5, "1/s"), result.figure("acks", "p99", 7.5, "ms"))
        with tempfile.TemporaryDirectory() as folder:
            result.save(run, Path(folder, "new", "a.json"))
            self.assertEqual(report.load(Path(folder, "new")), [run])

    def test_a_broken_result_is_refused(self):
        for broken in ({"schema": 9}, {"more": 1}, {"figures": [{"part": "acks"}]},
                       {"figures": [result.figure("acks", "p99", None, "ms")]},
                       {"figures": [result.figure("acks", "p99", 1, "ms", target={"about": 3})]}):
            with self.subTest(broken=broken):
                self.assertTrue(result.problems({**a_run(), **broken}))

    def test_this_machine_is_described(self):
        begun = result.begin("proxy", "make bench-proxy")
        self.assertEqual(result.problems(begun), [])
        self.assertGreaterEqual(begun["machine"]["cores"], 1)


class ProxyBench(unittest.TestCase):
    def test_samples_become_figures(self):
        sample = {"requests": 10, "seconds": 1, "p50": 1, "p99": 2, "p999": 3, "rate": 10, "rss_mib": 9.0}
        results = {"tls": {"nginx, log off": [{**sample, "cpu_us": 20.0}, {**sample, "cpu_us": 40.0}],
                           "tollgate, records": [{**sample, "cpu_us": 10.0}, {**sample, "cpu_us": 10.0}]},
                   "idle": {"tollgate, records": [9.6, 85.0]}}
        run = a_run(*proxy_bench.figures(results, {"tls": "TLS"}, 10_000), bench="proxy")
        self.assertEqual(result.problems(run), [])
        text = report.page([run])
        self.assertIn("| TLS | 30 (20..40) | 10 (10..10) |", text)
        self.assertIn("| TLS | 0.38 (0.25..0.50) |", text)
        self.assertIn("| 10000 idle TLS connections | 85 (at most 95) |", text)


if __name__ == "__main__":
    unittest.main()
