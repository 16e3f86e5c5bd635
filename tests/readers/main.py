#!/usr/bin/env python3
"""Other readers of the table count the same after every step of its maintenance: scripts/test-readers.sh.

deltalake (Python), DuckDB on the files that the log names, ClickHouse (deltaLakeLocal, as chdb) and Spark with Delta. A reader that
cannot be had is told loudly and left out; --all makes that an error."""

import argparse
import json
import os
import subprocess
import sys
import tempfile

STEPS = [("commit", 3000, 0), ("checkpoint",), ("compact",), ("commit", 2000, 90), ("compact",), ("checkpoint",), ("vacuum",),
         ("commit", 1000, 300), ("compact",), ("vacuum",)]
# What every reader is asked for: rows, the sum of a number, failures, and rows of one kind.
SPARK = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
spark = (SparkSession.builder.master("local[2]").config("spark.jars.packages", sys.argv[1])
  .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension").config("spark.ui.enabled", "false")
  .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
  .config("spark.driver.memory", "1g").config("spark.sql.shuffle.partitions", "2").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
print("ready", flush=True)
for line in sys.stdin:
    row = spark.read.format("delta").load(line.strip()).agg(F.count("*"), F.sum("seq"), F.count("error_class"),
      F.countDistinct("service")).collect()[0]
    print(json.dumps(list(row)), flush=True)
"""
DELTA_SPARK = "io.delta:delta-spark_4.1_2.13:4.4.0"
COUNTS = "count(*), sum(seq), count(error_class), count(DISTINCT service)"


def files(table):
    import deltalake
    log = deltalake.DeltaTable(table)
    return [f"{table}/{path}" for path in log.get_add_actions(flatten=True)["path"].to_pylist()]


def with_deltalake(table):
    import deltalake
    import pyarrow.compute as pc
    rows = deltalake.DeltaTable(table).to_pyarrow_table(columns=["seq", "error_class", "service"])
    count = lambda name: rows.num_rows - rows[name].null_count
    return [rows.num_rows, pc.sum(rows["seq"]).as_py(), count("error_class"), pc.count_distinct(rows["service"], mode="only_valid").as_py()]


def with_duckdb(table):
    import duckdb
    return list(duckdb.sql(f"SELECT {COUNTS} FROM read_parquet({files(table)})").fetchall()[0])


def with_clickhouse(table):
    import chdb
    return json.loads(str(chdb.query(f"SELECT {COUNTS} FROM deltaLakeLocal('{table}') SETTINGS output_format_json_quote_64bit_integers = 0", "JSONCompactEachRow")))


class Spark:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", SPARK, DELTA_SPARK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(self.process.communicate()[1].strip()[-1500:])

    def __call__(self, table):
        self.process.stdin.write(f"{table}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def readers(wanted):
    """The readers that can be had, by name, and why others cannot."""
    known = {"deltalake": lambda: with_deltalake, "duckdb": lambda: with_duckdb, "clickhouse": lambda: with_clickhouse, "spark": Spark}
    modules = {"deltalake": "deltalake", "duckdb": "duckdb", "clickhouse": "chdb", "spark": "pyspark"}
    found, absent = {}, {}
    for name in wanted or known:
        try:
            __import__(modules[name])
            found[name] = known[name]()
        except (ImportError, RuntimeError, OSError) as error:
            absent[name] = str(error)
    return found, absent


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("readers", nargs="*", help="deltalake, duckdb, clickhouse, spark; all by default")
    parser.add_argument("--maintain", required=True, help="the example `maintain` of tollgate-table")
    parser.add_argument("--all", action="store_true", help="a reader that cannot be had is an error")
    options = parser.parse_args()
    # ClickHouse reads files below its working folder only.
    os.chdir("/")
    found, absent = readers(options.readers)
    for name, why in absent.items():
        print(f"SKIPPED: {name} cannot be had: {why}", flush=True)
    wrong, written = [f"{name} cannot be had" for name in absent if options.all], 0
    with tempfile.TemporaryDirectory(prefix="readers-") as table:
        for step in STEPS:
            done = subprocess.run([options.maintain, table, *map(str, step)], check=True, stdout=subprocess.PIPE, text=True)
            own = json.loads(done.stdout)
            written += step[1] if step[0] == "commit" else 0
            answers = {name: read(table) for name, read in found.items()}
            print(f"{' '.join(map(str, step)):<20}{own['files']:>4} files  {answers}", flush=True)
            first = next(iter(answers.values()))
            if own["rows"] != written or first[0] != written or any(answer != first for answer in answers.values()):
                wrong.append(f"after {step}: {written} rows were written, Tollgate has {own['rows']}, others have {answers}")
    for one in wrong:
        print(f"WRONG: {one}")
    sys.exit(1 if wrong or not found else 0)


if __name__ == "__main__":
    main()
