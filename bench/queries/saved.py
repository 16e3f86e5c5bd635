"""The saved questions of queries/questions, asked of Tollgate and of DuckDB on the same rows.

DuckDB gets their SQL with the parameters in place, macros for Tollgate's functions where SQL can say them, and views in place of
Tollgate's. A question that DuckDB cannot be asked is told; at least LEAST must be compared."""

import engines

LEAST = 18
# Percentiles, and what is computed from them.
TOLERANCE = 0.02
PERCENTILES = ("p50", "p90", "p95", "p99")
# Numbers of different values that are estimated.
ABOUT, ABOUT_TOLERANCE = "about_", 0.03
SINCE_DAYS = 3_000
BYTES = ("trace_id", "span_id", "parent_span_id", "client_cert_sha256", "token_hmac")
ACTOR = """CASE WHEN x IS NULL THEN NULL WHEN x IN ('dns', 'internal') THEN 'gateway team'
 WHEN x LIKE 'upstream_%' OR x LIKE 'connect_%' OR x = 'no_healthy_upstream' THEN 'team of the API' ELSE 'caller' END"""
MACROS = [
    engines.PERCENTILE, "approx_percentile_cont(x, q) AS quantile_cont(x, q)",
    "approx_distinct(x) AS count(DISTINCT x)", "ago(x) AS now() - CAST(x AS INTERVAL)", f"actor(x) AS {ACTOR}",
    "date_bin(i, t) AS time_bucket(i, t)", "get_field(s, f) AS struct_extract(s, f)",
]
# Differences that are meant: the answer names one row of many, and engines may take another.
OPEN_COLUMNS = {"days_left"}


def connection(parquet):
    import duckdb
    made = duckdb.connect()
    made.execute("SET threads = 2; SET TimeZone = 'UTC'; SET integer_division = true; SET default_null_order = 'NULLS_LAST_ON_ASC_FIRST_ON_DESC'")
    utc = ", ".join(f"{name} AT TIME ZONE 'UTC' AS {name}" for name in ("time", "client_cert_not_after"))
    hexadecimal = ", ".join(f"lower(hex({name})) AS {name}" for name in BYTES)
    made.execute(f"CREATE TABLE t AS SELECT * REPLACE ({utc}, {hexadecimal}) FROM read_parquet('{parquet}/*.parquet')")
    made.execute("CREATE VIEW transactions AS SELECT * FROM t")
    for macro in MACROS:
        made.execute(f"CREATE MACRO {macro}")
    return made


def literal(kind, value):
    if value is None:
        return "NULL"
    if kind == "interval":
        return f"INTERVAL '{value}'"
    return str(value) if kind == "integer" else "'" + str(value).replace("'", "''") + "'"


def values(question, known):
    """A value for each parameter: what the data has, a past that holds all rows, else the default."""
    by_name = {"service": known["service"], "consumer": known["consumer"], "days": 3_000, "since": f"{SINCE_DAYS}d",
               "id": known["request_id"], "client_ip": None}
    found = {}
    for parameter in question["params"]:
        name = parameter["name"]
        found[name] = by_name.get(name, parameter.get("default"))
        if found[name] is None and parameter.get("required"):
            return None
    return {name: value for name, value in found.items() if value is not None}


def bound(question, given):
    sql = question["sql"]
    for parameter in sorted(question["params"], key=lambda one: -len(one["name"])):
        name, value, kind = parameter["name"], given.get(parameter["name"]), parameter["type"]
        if kind == "interval" and value is not None:
            value = f"{str(value).removesuffix('d')} days" if str(value).endswith("d") else value
        sql = sql.replace(f"${name}", literal(kind, value))
    return sql


def same(name, one, other, is_estimated):
    if is_estimated and any(part in name for part in PERCENTILES):
        return True
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        tolerance = TOLERANCE if any(part in name for part in PERCENTILES) else ABOUT_TOLERANCE if name.startswith(ABOUT) else 0
        loose = tolerance * max(abs(one), abs(other))
        # Half of the last digit that is shown, and percentiles below a microsecond's rounding.
        return abs(one - other) <= max(loose, 0.0101)
    return one == other or name in OPEN_COLUMNS


def compare(server, duckdb, known):
    wrong, compared = [], 0
    for told in server.get("/v1/questions")["questions"]:
        question = server.get(f"/v1/questions/{told['name']}")
        given = values(question, known)
        if given is None:
            print(f"not compared: {told['name']}: no value for a parameter", flush=True)
            continue
        try:
            theirs = duckdb.execute(bound(question, given)).fetchall()
        except Exception as error:  # noqa: BLE001: whatever DuckDB does not know is told
            print(f"not compared: {told['name']}: {str(error).splitlines()[0]}", flush=True)
            continue
        names, ours = server.question(told["name"], given)
        theirs = [[engines.plain(value) for value in row] for row in theirs]
        exact = [nth for nth, name in enumerate(names) if not any(part in name for part in PERCENTILES)]
        order = lambda rows: sorted(rows, key=lambda row: [repr(row[nth]) for nth in exact])
        compared += 1
        if len(ours) != len(theirs):
            wrong.append(f"{told['name']}: {len(ours)} rows, and {len(theirs)}")
            continue
        # Which rows are the first by a percentile depends on its last per cent.
        if question["sql"].rstrip().endswith(f"LIMIT {len(ours)}") and len(exact) < len(names):
            continue
        pairs = zip(order(ours), order(theirs))
        # DataFusion's own estimate interpolates, and is not held to a bound.
        is_estimated = "approx_percentile_cont" in question["sql"]
        different = next(((a, b) for a, b in pairs if not all(same(*cell, is_estimated) for cell in zip(names, a, b))), None)
        if different:
            wrong.append(f"{told['name']}: {different[0]}, and {different[1]}")
    if compared < LEAST:
        wrong.append(f"only {compared} saved questions could be compared, of at least {LEAST}")
    return wrong
