"""The twelve questions of `make bench-queries`, in the dialects of the three engines, with answers that must be equal.

`{name}` is a parameter that `parameters` reads from the data. A time is written TS(name): each dialect has its own literal.
The last columns of an answer, as many as `approximate` says, are percentiles: they may differ by TOLERANCE. All others are equal."""

import re

TOLERANCE = 0.02
ENGINES = ("tollgate", "duckdb", "clickhouse")


class Question:
    def __init__(self, name, sql, approximate=0, targets=None, **dialects):
        self.name, self.approximate, self.targets = name, approximate, targets or {}
        self.dialects = {engine: dialects.get(engine, sql) for engine in ENGINES}

    def text(self, engine, parameters, table):
        literal = {"tollgate": "TIMESTAMP '{}Z'", "duckdb": "TIMESTAMPTZ '{}+00'",
                   "clickhouse": "toDateTime64('{}', 6, 'UTC')"}[engine]
        sql = re.sub(r"TS\((\w+)\)", lambda name: literal.format(parameters[name[1]]), self.dialects[engine])
        return sql.format(t=table, **parameters)


ROW = "service, route, consumer, status, error_class, upstream_addr, total_us"
PERCENTILES = {
    "tollgate": "percentile(total_us, 0.5), percentile(total_us, 0.95), percentile(total_us, 0.99)",
    "duckdb": "quantile_cont(total_us, 0.5), quantile_cont(total_us, 0.95), quantile_cont(total_us, 0.99)",
    "clickhouse": "quantileTDigest(0.5)(total_us), quantileTDigest(0.95)(total_us), quantileTDigest(0.99)(total_us)",
}
BUSIEST = "SELECT service, count(*) AS n, {percentiles} FROM {{t}} WHERE service IS NOT NULL GROUP BY service ORDER BY n DESC, service LIMIT 20"
# DuckDB's exact percentiles keep every value; its sketch is what it is fast with, and within the tolerance.
APPROXIMATE = "approx_quantile(total_us, 0.5), approx_quantile(total_us, 0.95), approx_quantile(total_us, 0.99)"
SERIES = """SELECT {bucket} AS bucket, count(*) AS n, sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS failed, sum(total_us) AS total,
 {p95} AS p95 FROM {{t}} WHERE service = '{{service}}' GROUP BY {bucket} ORDER BY bucket"""

QUESTIONS = [
    Question("request id", f"SELECT {ROW} FROM {{t}} WHERE request_id = '{{request_id}}'"),
    Question("correlation id", f"SELECT {ROW} FROM {{t}} WHERE correlation_id = '{{correlation_id}}'",
             targets={"tollgate": 10}),
    Question("a consumer's failures, last hour",
             "SELECT error_class, status, count(*) AS n FROM {t} WHERE consumer = '{consumer}' AND time >= TS(hour_ago) "
             "AND error_class IS NOT NULL GROUP BY error_class, status ORDER BY error_class, status"),
    Question("a service's 5xx, ten minutes",
             "SELECT route, status, count(*) AS n FROM {t} WHERE service = '{failing}' AND time >= TS(from) AND time < TS(to) "
             "AND status >= 500 GROUP BY route, status ORDER BY route, status"),
    Question("p50/95/99 of the 20 busiest services", BUSIEST.format(percentiles=PERCENTILES["tollgate"]), 3,
             targets={"tollgate": 60}, duckdb=BUSIEST.format(percentiles=APPROXIMATE),
             clickhouse=BUSIEST.format(percentiles=PERCENTILES["clickhouse"])),
    Question("error classes by service",
             "SELECT service, error_class, count(*) AS n FROM {t} WHERE error_class IS NOT NULL AND service IS NOT NULL "
             "GROUP BY service, error_class ORDER BY n DESC, service, error_class LIMIT 50"),
    Question("5-minute series of one service",
             SERIES.format(bucket="date_bin(INTERVAL '5 minutes', time)", p95="percentile(total_us, 0.95)"), 1,
             targets={"tollgate": 15},
             duckdb=SERIES.format(bucket="time_bucket(INTERVAL '5 minutes', time)", p95="approx_quantile(total_us, 0.95)"),
             clickhouse=SERIES.format(bucket="toStartOfFiveMinutes(time)", p95="quantileTDigest(0.95)(total_us)")),
    Question("failed authentications by client",
             "SELECT client_ip, count(*) AS n FROM {t} WHERE auth_result = 'failed' GROUP BY client_ip ORDER BY n DESC, client_ip LIMIT 20"),
    Question("WAF blocks by rule",
             "SELECT rule, count(*) AS n FROM (SELECT unnest(waf_rule_ids) AS rule FROM {t} WHERE waf_action = 'blocked') AS r "
             "GROUP BY rule ORDER BY n DESC, rule",
             clickhouse="SELECT arrayJoin(waf_rule_ids) AS rule, count(*) AS n FROM {t} WHERE waf_action = 'blocked' "
             "GROUP BY rule ORDER BY n DESC, rule"),
    Question("TLS inventory",
             "SELECT tls_version, tls_cipher, count(*) AS n FROM {t} WHERE tls_version IS NOT NULL GROUP BY tls_version, tls_cipher "
             "ORDER BY tls_version, tls_cipher"),
    Question("certificates about to expire",
             "SELECT client_cert_subject, min(client_cert_not_after) AS expires, count(*) AS n FROM {t} "
             "WHERE client_cert_not_after < TS(fortnight) GROUP BY client_cert_subject ORDER BY client_cert_subject"),
    Question("completeness by producer",
             "SELECT producer, count(*) AS n, min(seq) AS first, max(seq) AS last FROM {t} GROUP BY producer ORDER BY producer"),
]


def parameters(duckdb, table="t"):
    """What the questions ask for, chosen from the data by rules: it is the same for the same data."""
    one = lambda sql: duckdb(sql)[0]
    first, last = one(f"SELECT min(time), max(time) FROM {table}")
    text = lambda when: when.strftime("%Y-%m-%d %H:%M:%S.%f")
    import datetime
    minutes = lambda n: datetime.timedelta(minutes=n)
    middle = first + (last - first) / 2
    hour_ago = last - minutes(60)
    found = {"request_id": one(f"SELECT request_id FROM {table} WHERE time >= '{text(middle)}+00' AND kind = 'transaction' ORDER BY time LIMIT 1")[0],
             "correlation_id": one(f"SELECT correlation_id FROM {table} WHERE time >= '{text(middle)}+00' AND correlation_id IS NOT NULL ORDER BY time LIMIT 1")[0],
             "consumer": one(f"SELECT consumer FROM {table} WHERE time >= '{text(hour_ago)}+00' AND error_class IS NOT NULL AND consumer IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")[0],
             "service": one(f"SELECT service FROM {table} WHERE service IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1 OFFSET 4")[0]}
    bucket = duckdb(f"SELECT service, time_bucket(INTERVAL '5 minutes', time) FROM {table} WHERE status >= 500 GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT 1")[0]
    found |= {"failing": bucket[0], "from": text(bucket[1]), "to": text(bucket[1] + minutes(10)), "hour_ago": text(hour_ago),
              "fortnight": text(last + datetime.timedelta(days=14))}
    return found


def differences(question, one, other, tolerance=TOLERANCE):
    """How two answers differ, as a text; empty if they are equal."""
    if len(one) != len(other):
        return f"{len(one)} rows, and {len(other)}"
    for nth, (left, right) in enumerate(zip(one, other)):
        exact = len(left) - question.approximate
        if list(left[:exact]) != list(right[:exact]):
            return f"row {nth}: {left[:exact]}, and {right[:exact]}"
        for a, b in zip(left[exact:], right[exact:]):
            if abs(float(a) - float(b)) > tolerance * max(abs(float(a)), abs(float(b)), 1):
                return f"row {nth}: {a} and {b} differ by more than {tolerance:.0%}"
    return ""
