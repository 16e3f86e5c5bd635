"""The engines of `make bench-queries`, each asked in a process of its own.

    engines.py duckdb PARQUET_DIR        lines of JSON: {"sql"} in, {"seconds", "rows"} out
    engines.py clickhouse FOLDER"""

import datetime
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

THREADS = 2
# Columns with a bloom filter in ClickHouse.
BLOOMED = ("request_id", "correlation_id", "trace_id", "client_ip")

# A macro of DuckDB: the value of the rank that Tollgate's percentiles have. quantile_disc takes another where there are few values.
PERCENTILE = "percentile(x, q) AS list_sort(list(x) FILTER (x IS NOT NULL))[1 + CAST(floor((count(x) - 1) * q) AS BIGINT)]"


def exactly(sql):
    """A question to DuckDB with exact percentiles in place of estimates: two estimates may differ by the sum of their errors."""
    return sql.replace("approx_quantile(", "percentile(")


def plain(value):
    """A value as all engines' answers have it: times as UTC texts without a fraction of zeros, whole numbers as numbers."""
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.UTC) if value.tzinfo else value
        return utc.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    if isinstance(value, str) and len(value) >= 19 and value[4] == value[7] == "-" and value[10] in "T ":
        text = value.replace(" ", "T").removesuffix("Z").removesuffix("+00:00")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return int(value) if float(value).is_integer() else float(value)
    try:
        return plain(float(value)) if type(value).__name__ == "Decimal" else value
    except ValueError:
        return value


class Peer:
    """An engine in a process of its own, so that a new one is cold."""

    def __init__(self, python, engine, folder):
        self.process = subprocess.Popen([python, __file__, engine, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, sql):
        self.process.stdin.write(json.dumps({"sql": sql}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine ended: {sql}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{answer['error']}\n{sql}")
        return answer["seconds"], answer["rows"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Tollgate:
    """A query server that runs."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(self, sql):
        seconds, _, rows = self.post("/v1/sql", {"sql": sql})
        return seconds, rows

    def question(self, name, params):
        """A saved question's columns and rows."""
        _, names, rows = self.post(f"/v1/questions/{name}", {"params": params})
        return names, rows

    def post(self, path, body):
        began = time.perf_counter()
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text.decode()}\n{path} {body}")
        got = json.loads(text)
        names = [column["name"] for column in got["columns"]]
        return seconds, names, [[plain(row[name]) for name in names] for row in got["rows"]]

    def get(self, path):
        self.connection.request("GET", path)
        return json.loads(self.connection.getresponse().read())

    def close(self):
        self.connection.close()


def drop_caches(folder):
    """Has the kernel forget the files of a folder, as far as it may."""
    for file in Path(folder).rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def duckdb_asker(folder):
    import duckdb
    connection = duckdb.connect()
    connection.execute(f"SET threads = {THREADS}; SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{folder}/*.parquet')")
    connection.execute(f"CREATE MACRO {PERCENTILE}")
    return lambda sql: connection.execute(sql).fetchall()


def clickhouse_asker(folder):
    from chdb.session import Session
    session = Session(str(folder))
    session.query(f"SET max_threads = {THREADS}")
    # Rows as lists of JSON, 64-bit numbers not quoted.
    session.query("SET output_format_json_quote_64bit_integers = 0")

    def ask(sql):
        text = str(session.query(sql, "JSONCompactEachRow"))
        return [json.loads(line) for line in text.splitlines()]
    return ask


def fill_clickhouse(session, parquet):
    """A MergeTree table with all columns of the Parquet files, merged to the end; answers the bytes on disk."""
    import pyarrow.parquet as pq
    import pyarrow as pa
    files = sorted(Path(parquet).glob("*.parquet"))
    schema = pq.read_schema(files[0])

    def kind(field):
        if pa.types.is_dictionary(field.type):
            return "LowCardinality(Nullable(String))"
        if pa.types.is_timestamp(field.type):
            return "DateTime64(6, 'UTC')" if not field.nullable else "Nullable(DateTime64(6, 'UTC'))"
        if pa.types.is_list(field.type):
            return "Array(Int32)" if pa.types.is_int32(field.type.value_type) else "Array(String)"
        base = {"int32": "Int32", "int64": "Int64", "bool": "Bool"}.get(str(field.type), "String")
        return base if not field.nullable else f"Nullable({base})"

    columns = ", ".join(f"{field.name} {kind(field)}" for field in schema)
    blooms = ", ".join(f"INDEX {name}_bloom {name} TYPE bloom_filter(0.01) GRANULARITY 1" for name in BLOOMED)
    names = ", ".join(schema.names)
    session.query(f"CREATE TABLE t ({columns}, {blooms}) ENGINE = MergeTree ORDER BY (toStartOfFiveMinutes(time), service, time) "
                  "SETTINGS allow_nullable_key = 1")
    # Lists are null in the files where they are empty here.
    session.query("SET input_format_null_as_default = 1")
    for file in files:
        session.query(f"INSERT INTO t ({names}) SELECT {names} FROM file('{file}', Parquet)")
    session.query("OPTIMIZE TABLE t FINAL")
    return int(str(session.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 't'", "CSV")).strip())


def serve(asker):
    for line in sys.stdin:
        began = time.perf_counter()
        try:
            rows = asker(json.loads(line)["sql"])
            answer = {"seconds": time.perf_counter() - began, "rows": [[plain(value) for value in row] for row in rows]}
        except Exception as error:  # noqa: BLE001: whatever the engine says is shown by the one who asked
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def main(engine, folder, *more):
    if engine == "fill-clickhouse":
        from chdb.session import Session
        began = time.perf_counter()
        size = fill_clickhouse(Session(str(folder)), more[0])
        print(json.dumps({"bytes": size, "seconds": time.perf_counter() - began}))
        return
    serve({"duckdb": duckdb_asker, "clickhouse": clickhouse_asker}[engine](folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
