#!/usr/bin/env python3
"""A stand-in for the two admin endpoints: every metric of the registry, moving as under real traffic.

    dashboards/tests/exposition.py --port 9901 --process proxy [--fail orders]
    dashboards/tests/exposition.py --port 9902 --process collector

Names, types and labels come from docs/metrics.md or, before that was written, from the registry itself. Only for trying
dashboards and rules without the real processes. `--fail S` makes the transactions of service S fail from now on.
"""

import argparse
import http.server
import math
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from checking.metrics import registry  # noqa: E402

SERVICES = ["orders", "billing", "search", "_none"]
VALUES = {
    "service": SERVICES,
    "status_class": ["2xx", "4xx", "5xx"],
    "error_class": ["upstream_timeout", "auth", "no_route", "tls_handshake"],
    "reason": ["unknown", "buffer_full"],
    "pattern": ["api_key", "jwt"],
    "result": ["success", "failed"],
    "sink": ["kafka", "table", "metrics"],
    "outcome": ["accepted", "duplicate"],
    "action": ["pass", "blocked"],
    "producer": ["gw1/65f0/0"],
    "consumer_subject": ["CN=batch-job"],
    "listener": ["http", "https"],
    "reused": ["true", "false"],
    "revision": ["0123456789ab"],
    "version": ["1.3"],
    "class": ["retryable"],
    "cause": ["connect"],
    "status": ["400"],
    "binary": ["stand-in"],
}
# Losses do not happen here: their series do not exist until they do.
ABSENT = ("records_shed", "records_doubled", "batches_refused", "rejected", "skipped", "evicted", "quarantined", "ship_errors", "sink_errors")
STILL = {"tollgate_journal_bytes": 5e6, "tollgate_journal_bytes_max": 1e9, "tollgate_hot_rows": 9000, "tollgate_hot_bytes": 4e6,
         "tollgate_build_info": 1, "tollgate_proxy_config_info": 1, "tollgate_records_missing": 0, "tollgate_proxy_spool_bytes": 0}


def label_sets(labels):
    sets = [{}]
    for label in labels:
        sets = [{**known, label: value} for known in sets for value in VALUES[label]]
    return sets


def rate(labels, failing):
    """Events a second of one series."""
    if labels.get("service") == "_none" and labels.get("status_class") in ("2xx", "5xx"):
        return 0
    if labels.get("service") in failing and "status_class" in labels:
        return 20 if labels["status_class"] == "5xx" else 0
    if labels.get("service") in failing and labels.get("error_class") == "upstream_timeout":
        return 20
    rare = labels.get("status_class") == "5xx" or labels.get("result") == "failed" or "error_class" in labels
    return 0.01 if rare else 3 + len("".join(labels.values()))


def sample(name, labels, value):
    inner = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value:.6f}\n" if inner else f"{name} {value:.6f}\n"


def exposition(process, failing, state):
    now, text = time.time(), []
    elapsed, state["at"] = now - state["at"], now
    for metric in registry():
        if metric.process != "every" and (metric.process == "proxy") != (process == "proxy"):
            continue
        if any(word in metric.name for word in ABSENT):
            continue
        text.append(f"# HELP {metric.name} stand-in\n# TYPE {metric.name} {metric.kind}\n")
        for labels in label_sets(metric.labels):
            key = (metric.name, *labels.values())
            state[key] = state.get(key, 0) + elapsed * rate(labels, failing)
            if metric.kind == "counter":
                text.append(sample(metric.name, labels, state[key]))
            elif metric.kind == "gauge":
                wave = 5 + 3 * math.sin(now / 60)
                value = now + 40 * 86400 if "timestamp" in metric.name else STILL.get(metric.name, wave)
                text.append(sample(metric.name, labels, value))
            else:
                for bound in (0.0001, 0.001, 0.01, 0.1, 1):
                    share = min(1, 0.5 + 0.1 * (5 + math.log10(bound)))
                    text.append(sample(metric.name + "_bucket", {**labels, "le": bound}, state[key] * share))
                text.append(sample(metric.name + "_bucket", {**labels, "le": "+Inf"}, state[key]))
                text.append(sample(metric.name + "_sum", labels, state[key] * 0.004))
                text.append(sample(metric.name + "_count", labels, state[key]))
    return "".join(text).encode()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--process", choices=["proxy", "collector"], required=True)
    arguments.add_argument("--fail", action="append", default=[])
    options = arguments.parse_args()
    state = {"at": time.time()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = exposition(options.process, options.fail, state)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
