//! Made-up traffic: the same from the same seed, valid, and as skewed as it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, StringArray};
use tollgate_load::{GeneratedBatch, Producers, Traffic, World};
use tollgate_record::{Batch, DecodeLimits, decode};

fn batches(traffic: &Traffic) -> Vec<GeneratedBatch> {
    traffic.check().expect("valid settings");
    let mut producers = Producers::of(traffic, &Arc::new(World::of(traffic)));
    std::iter::from_fn(|| producers.next_batch().expect("encodes")).collect()
}

fn decoded(traffic: &Traffic) -> Vec<Batch> {
    let decode = |batch: &GeneratedBatch| decode(&batch.sealed.bytes, &DecodeLimits::default()).expect("valid");
    batches(traffic).iter().map(decode).collect()
}

fn texts(batch: &Batch, column: &str) -> StringArray {
    let column = batch.records.column_by_name(column).expect("column");
    let plain = arrow_cast(column);
    plain.as_string::<i32>().clone()
}

/// A dictionary's values, one a row.
fn arrow_cast(column: &arrow_array::ArrayRef) -> arrow_array::ArrayRef {
    match column.as_any_dictionary_opt() {
        Some(dictionary) => {
            let keys = dictionary.normalized_keys();
            let values = dictionary.values().as_string::<i32>();
            let rows = keys.iter().enumerate().map(|(row, key)| column.is_valid(row).then(|| values.value(*key)));
            Arc::new(rows.collect::<StringArray>())
        }
        None => Arc::clone(column),
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let traffic = Traffic { records: 20_000, services: 500, ..Traffic::default() };
    let bytes = |traffic: &Traffic| batches(traffic).into_iter().map(|batch| batch.sealed.bytes).collect::<Vec<_>>();
    let first = bytes(&traffic);
    assert_eq!(first, bytes(&traffic));
    assert_ne!(first, bytes(&Traffic { seed: 2, ..traffic.clone() }));
    // A longer run begins as a shorter one of whole batches does.
    let longer = bytes(&Traffic { records: 8 * 4_096 * 2, ..traffic.clone() });
    let whole = bytes(&Traffic { records: 8 * 4_096, ..traffic });
    assert_eq!(longer[..whole.len()], whole[..]);
}

#[test]
fn every_record_is_there_once_and_failures_are_as_rare_as_they_should_be() {
    let traffic = Traffic { records: 200_000, services: 11_000, ..Traffic::default() };
    let (mut rows, mut failed, mut correlated, mut traced) = (0u64, 0u64, 0u64, 0u64);
    let mut services: BTreeMap<String, u64> = BTreeMap::new();
    let mut next_seq: BTreeMap<String, i64> = BTreeMap::new();
    for batch in decoded(&traffic) {
        let (kinds, classes, auth, waf) = (
            texts(&batch, "kind"),
            texts(&batch, "error_class"),
            texts(&batch, "auth_result"),
            texts(&batch, "waf_action"),
        );
        let services_of = texts(&batch, "service");
        let status = batch.records.column_by_name("status").expect("column").as_primitive::<Int32Type>().clone();
        let next = next_seq.entry(batch.meta.producer.clone()).or_insert(1);
        assert_eq!(batch.meta.first_seq, *next, "numbers without holes");
        *next = batch.meta.last_seq + 1;
        rows += batch.records.num_rows() as u64;
        for row in 0..batch.records.num_rows() {
            failed += u64::from(
                classes.is_valid(row)
                    || status.is_valid(row) && status.value(row) >= 500
                    || auth.is_valid(row) && auth.value(row) == "failed"
                    || waf.is_valid(row) && waf.value(row) == "blocked"
                    || kinds.value(row) != "transaction",
            );
            if services_of.is_valid(row) {
                *services.entry(services_of.value(row).to_owned()).or_default() += 1;
            }
        }
        let valid = |name| {
            let column = batch.records.column_by_name(name).expect("column");
            (column.len() - column.null_count()) as u64
        };
        correlated += valid("correlation_id");
        traced += valid("trace_id");
    }
    assert_eq!(rows, traffic.records);
    let share = |count: u64| count as f64 / rows as f64;
    assert!((share(failed) - 0.0085).abs() < 0.0015, "{}", share(failed));
    assert!((share(correlated) - 0.3).abs() < 0.01 && (share(traced) - 0.5).abs() < 0.01);
    let busiest = services.values().max().copied().unwrap_or_default();
    assert!(share(busiest) > 0.05 && services.len() > 5_000, "{} {}", share(busiest), services.len());
}

#[test]
fn times_follow_the_rate() {
    let traffic = Traffic { records: 17_360, ..Traffic::default() };
    for batch in decoded(&traffic) {
        let times = batch.records.column_by_name("time").expect("column").as_primitive::<TimestampMicrosecondType>();
        for row in 0..times.len() {
            let after = times.value(row) - traffic.start_us;
            assert!((0..10_010_000).contains(&after), "{after}");
        }
    }
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    for (traffic, key) in [
        (Traffic { rate: 0.0, ..Traffic::default() }, "rate"),
        (Traffic { services: 0, ..Traffic::default() }, "services"),
        (Traffic { batch_records: 4_097, ..Traffic::default() }, "batch-records"),
        (Traffic { workers: 0, ..Traffic::default() }, "workers"),
        (Traffic { nodes: vec!["a b".to_owned()], ..Traffic::default() }, "node"),
    ] {
        assert_eq!(traffic.check().expect_err(key).key, key);
    }
}
