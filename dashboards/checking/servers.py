"""Queries a running Prometheus, and the running SQL server through psql."""

import json
import math
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_S = 30


class QueryFailed(Exception):
    """A server answered with an error, or not at all."""


def service_with_most_errors(url):
    """Returns the API with the most errors; None without a Prometheus, or before the first error."""
    if not url:
        return None
    expr = 'topk(1, sum by (service) (tollgate_errors_total{service!~"|_none|_other"}))'
    result = _answer(url, "query", {"query": expr})
    return result[0]["metric"]["service"] if result else None


def points_of_promql(url, expr, span, instant):
    """Returns how many series have a finite value."""
    if instant:
        path, arguments = "query", {"query": expr, "time": span.end}
    else:
        path, arguments = "query_range", {"query": expr, "start": span.start, "end": span.end, "step": span.interval_s}
    result = _answer(url, path, arguments)
    return sum(any(_finite(value) for _, value in one.get("values", [one.get("value")])) for one in result)


def _answer(url, path, arguments):
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/{path}", urllib.parse.urlencode(arguments).encode())
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as failure:
        raise QueryFailed(json.load(failure).get("error", str(failure))) from failure
    except OSError as failure:
        raise QueryFailed(f"{url} does not answer: {failure}") from failure


def _finite(text):
    return math.isfinite(float(text))


def rows_of_sql(options, sql):
    """Returns how many rows have a value."""
    command = ["psql", "-X", "-q", "-h", options.psql_host, "-p", str(options.psql_port), "-U", options.psql_user, "-d", options.psql_database]
    command += ["-v", "ON_ERROR_STOP=1", "-A", "-t", "-F", "\t", "-c", sql]
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10", "PGSSLMODE": "disable"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired as failure:
        raise QueryFailed(f"no answer in {TIMEOUT_S} s") from failure
    if done.returncode:
        raise QueryFailed(done.stderr.strip())
    return sum(bool(line.strip()) for line in done.stdout.splitlines())
