//! Percentiles: their values, their one state, and what they refuse.

use serde_json::{Value, json};
use tollgate_queries::{ErrorKind, Limits};
use tollgate_sketch::{Sketch, integer_of};

use super::fixture::{Fixture, rows, value};

/// 20,000 numbers in 7 groups, some of them null.
const NUMBERS: &str = "(SELECT n % 7 AS g, CASE WHEN n % 11 > 0 THEN n * 7919 % 100003 END AS v \
                       FROM generate_series(1, 20000) AS t(n))";

fn numbers(group: i64) -> Vec<i64> {
    (1..=20_000).filter(|n| n % 7 == group && n % 11 > 0).map(|n| n * 7919 % 100_003).collect()
}

fn sketch_of(values: &[i64]) -> Sketch {
    let mut sketch = Sketch::new();
    values.iter().for_each(|value| sketch.add(*value as f64));
    sketch
}

fn hexadecimal(sketch: &Sketch) -> String {
    sketch.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn percentiles_by_group_are_those_of_the_sketch_and_within_one_percent() {
    let fixture = Fixture::new().await;
    let sql = format!(
        "SELECT g, percentile(v, 0.5) AS a, approx_percentile_cont(v, 0.95) AS b, \
         percentile_cont(0.99) WITHIN GROUP (ORDER BY v) AS c, \
         percentile_cont(0.01) WITHIN GROUP (ORDER BY v DESC) AS d, \
         approx_median(v) AS e FROM {NUMBERS} GROUP BY g ORDER BY g"
    );
    let answered = rows(&fixture.engine, &sql).await;
    assert_eq!(answered.len(), 7);
    for (group, row) in answered.iter().enumerate() {
        let mut sorted = numbers(group as i64);
        let sketch = sketch_of(&sorted);
        sorted.sort_unstable();
        for (column, quantile) in [("a", 0.5), ("b", 0.95), ("c", 0.99), ("d", 0.99), ("e", 0.5)] {
            let shown = row[column].as_f64();
            assert_eq!(shown, sketch.quantile_bin(quantile).map(integer_of), "{group}: {quantile}");
            let exact = sorted[(quantile * (sorted.len() - 1) as f64) as usize] as f64;
            assert!((shown.unwrap_or_default() - exact).abs() <= exact / 100.0, "{group}: {shown:?} for {exact}");
        }
    }
}

#[tokio::test]
async fn sketches_are_the_same_bytes_whatever_their_order_and_grouping() {
    let fixture = Fixture::new().await;
    for group in [0, 3] {
        let whole = hexadecimal(&sketch_of(&numbers(group)));
        for sql in [
            format!("SELECT encode(sketch(v), 'hex') FROM {NUMBERS} WHERE g = {group}"),
            format!("SELECT encode(sketch(v) FILTER (WHERE g = {group}), 'hex') FROM {NUMBERS}"),
            format!(
                "SELECT encode(s, 'hex') FROM (SELECT g, sketch(v) AS s FROM {NUMBERS} GROUP BY g) WHERE g = {group}"
            ),
            format!("SELECT encode(sketch(v), 'hex') FROM (SELECT * FROM {NUMBERS} ORDER BY v) WHERE g = {group}"),
            format!(
                "SELECT encode(sketch_merge(s), 'hex') FROM (SELECT g, v % 13 AS part, sketch(v) AS s \
                 FROM {NUMBERS} GROUP BY g, part) WHERE g = {group}"
            ),
            format!(
                "SELECT encode(m, 'hex') FROM (SELECT g, sketch_merge(s) AS m FROM (SELECT g, v % 997 AS part, \
                 sketch(v) AS s FROM {NUMBERS} GROUP BY g, part) GROUP BY g) WHERE g = {group}"
            ),
        ] {
            assert_eq!(value(&fixture.engine, &sql).await, json!(whole), "{sql}");
        }
    }
}

#[tokio::test]
async fn percentiles_of_one_column_share_one_state() {
    let fixture = Fixture::new().await;
    let sql = "EXPLAIN SELECT service, percentile(total_us, 0.5), percentile(total_us, 0.95), \
               percentile_cont(0.99) WITHIN GROUP (ORDER BY total_us), percentile(gateway_us, 0.99), \
               percentile(total_us, 0.99) FILTER (WHERE status < 500) FROM transactions GROUP BY service";
    let plan = rows(&fixture.engine, sql).await;
    let logical = plan[0]["plan"].as_str().expect("plan");
    let aggregate = logical.lines().find(|line| line.contains("Aggregate")).expect("aggregate");
    let sketches = aggregate.split("aggr=").nth(1).expect("aggregates").matches("[sketch(").count()
        + aggregate.matches(", sketch(").count();
    assert_eq!(sketches, 3, "{aggregate}");
}

#[tokio::test]
async fn percentiles_are_read_off_for_the_rows_that_are_shown() {
    let fixture = Fixture::new().await;
    let select = "SELECT g, count(*) AS n, round(percentile(v, 0.5) / 1000.0, 2) AS half, percentile(v, 0.99) AS most";
    for (order, late) in [("n DESC, g", true), ("g * 2 DESC", true), ("most, g", false), ("g", true)] {
        let all = rows(&fixture.engine, &format!("{select} FROM {NUMBERS} GROUP BY g ORDER BY {order}")).await;
        let first = format!("{select} FROM {NUMBERS} GROUP BY g ORDER BY {order} LIMIT 3");
        assert_eq!(rows(&fixture.engine, &first).await, all[..3], "{order}");
        let plan = rows(&fixture.engine, &format!("EXPLAIN {first}")).await;
        let logical = plan[0]["plan"].as_str().expect("plan");
        let of = |node: &str| logical.find(node).unwrap_or_else(|| panic!("no {node} in {logical}"));
        assert_eq!(of("sketch_quantile") < of("Sort:"), late, "{order}: {logical}");
    }
}

#[tokio::test]
async fn hot_rows_files_and_the_sum_of_both_have_one_answer() {
    let mut fixture = Fixture::new().await;
    let sql = "SELECT service, percentile(total_us, 0.5) AS half, percentile(total_us, 0.99) AS most, count(*) AS n \
               FROM transactions GROUP BY service ORDER BY service";
    let before = rows(&fixture.engine, sql).await;
    fixture.commit().await;
    assert_eq!(rows(&fixture.engine, sql).await, before);
}

#[tokio::test]
async fn nulls_are_left_out_and_nothing_is_null() {
    let fixture = Fixture::new().await;
    for (sql, wanted) in [
        ("SELECT percentile(v, 0.5) FROM (VALUES (1), (NULL), (3)) AS t(v)", json!(1.0)),
        ("SELECT percentile(v, 1) FROM (VALUES (1), (NULL), (3)) AS t(v)", json!(3.0)),
        ("SELECT percentile(v, 0.5) FROM (VALUES (CAST(NULL AS BIGINT))) AS t(v)", Value::Null),
        ("SELECT percentile(v, 0.5) FROM (VALUES (1)) AS t(v) WHERE v > 1", Value::Null),
        ("SELECT sketch(v) FROM (VALUES (1)) AS t(v) WHERE v > 1", Value::Null),
        (
            "SELECT sketch_quantile(sketch_merge(s), 0.5) FROM (SELECT sketch(v) AS s FROM (VALUES (7)) AS t(v)) AS u",
            json!(7.03125),
        ),
        ("SELECT percentile(v, 0.5) FILTER (WHERE v > 100) FROM (VALUES (1), (200), (50)) AS t(v)", json!(201.0)),
        ("SELECT round(percentile(v, 0.5), 1) FROM (VALUES (0.1), (0.2), (12.5)) AS t(v)", json!(0.2)),
        (
            "SELECT max(p) FROM (SELECT percentile(v, 0.5) OVER (PARTITION BY v % 2) AS p FROM (VALUES (1), (2), (4)) AS t(v))",
            json!(2.0),
        ),
        (
            "SELECT count(*) FROM (SELECT v, percentile(v, 0.5) AS p FROM (VALUES (1), (2)) AS t(v) GROUP BY ROLLUP (v))",
            json!(3),
        ),
        ("SELECT v FROM (VALUES (1), (9), (9)) AS t(v) GROUP BY v HAVING percentile(v, 0.5) > 5", json!(9)),
        ("SELECT (SELECT percentile(v, 0.5) FROM (VALUES (5)) AS t(v))", json!(5.0)),
    ] {
        assert_eq!(value(&fixture.engine, sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn what_is_no_percentile_is_refused_clearly() {
    let fixture = Fixture::new().await;
    for (asked, wanted) in [
        ("percentile(DISTINCT total_us, 0.5)", "percentile counts every value: DISTINCT is not for it"),
        ("sketch(DISTINCT total_us)", "sketch counts every value: DISTINCT is not for it"),
        ("percentile(total_us, 95)", "fraction from 0 to 1, such as 0.95, and 95 is none"),
        ("percentile(total_us, -0.1)", "fraction from 0 to 1, such as 0.95, and -0.1 is none"),
        ("percentile(total_us, status / 1000.0)", "the second argument of percentile is a constant fraction"),
        ("percentile(total_us, NULL)", "the second argument of percentile is a constant fraction"),
        ("percentile(total_us)", "percentile"),
        ("percentile(service, 0.5)", "percentile is of numbers, and this is Utf8"),
        ("sketch(service)", "sketch takes numbers"),
        ("sketch_merge(total_us)", "sketch_merge takes sketches"),
        ("sketch_quantile(x'0102', 0.5)", "the bytes of a sketch are cut short or too long"),
        ("sketch_merge(x'77')", "the bytes of a sketch begin with 1, and these do not"),
        ("sketch_quantile(sketch(total_us), 2)", "and 2 is none"),
    ] {
        let sql = format!("SELECT {asked} FROM transactions");
        let error = fixture.engine.query(&sql).await.expect_err(&sql);
        assert!(error.message.contains(wanted), "{asked}: {error}");
        assert!(matches!(error.kind, ErrorKind::Invalid | ErrorKind::Failed), "{asked}: {error:?}");
    }
}

#[tokio::test]
async fn the_memory_of_sketches_is_counted() {
    let limits = Limits { threads: 2, memory_bytes_max: 2 << 20, ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let sql = "SELECT g, percentile(v, 0.5) FROM (SELECT n % 2000 AS g, n * 7919 % 10000019 AS v \
               FROM generate_series(1, 400000) AS t(n)) GROUP BY g";
    let error = fixture.engine.query(sql).await.expect_err("too much");
    assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error}");
}

#[tokio::test]
async fn distinct_counts_do_not_depend_on_order_and_are_within_two_percent() {
    let fixture = Fixture::new().await;
    let by_group = |from: &str| format!("SELECT g, approx_distinct(v) AS n FROM {from} GROUP BY g ORDER BY g");
    let answered = rows(&fixture.engine, &by_group(NUMBERS)).await;
    let shuffled = format!("(SELECT * FROM {NUMBERS} ORDER BY v * 31 % 1009, v)");
    assert_eq!(rows(&fixture.engine, &by_group(&shuffled)).await, answered);
    for (group, row) in answered.iter().enumerate() {
        let exact = numbers(group as i64).len() as f64;
        let shown = row["n"].as_f64().expect("number");
        assert!((shown - exact).abs() <= exact * 0.02, "{group}: {shown} for {exact}");
    }
}

#[tokio::test]
async fn distinct_values_of_every_column_are_counted() {
    let fixture = Fixture::new().await;
    for field in tollgate_queries::sql_schema().fields() {
        let column = field.name();
        let sql = format!("SELECT approx_distinct({column}) AS a, count(DISTINCT {column}) AS b FROM transactions");
        let row = rows(&fixture.engine, &sql).await.remove(0);
        let (about, exact) = (row["a"].as_f64().expect("number"), row["b"].as_f64().expect("number"));
        assert!((about - exact).abs() <= exact * 0.03 + 0.5, "{column}: {about} for {exact}");
    }
}
