//! Rows in, batches out.

use std::time::{Duration, Instant};

use tollgate_record::columns::{COLUMNS, Column, ColumnType, PATH_BYTES_MAX, index_of};
use tollgate_record::redact::text::cleaned;
use tollgate_record::vocabulary::{GapReason, Kind};
use tollgate_record::{
    BatchBuilder, DecodeLimits, EncodeError, Gap, Record, SealLimits, decode, extract, gap_batch, schema,
};

use crate::plausible::{Facts, header};
use crate::streams::{decoded, sealed};

fn builder() -> BatchBuilder {
    BatchBuilder::new(header(), SealLimits::default())
}

fn with_seq(seq: i64) -> Record<'static> {
    Record { seq, time_us: 1, ..Record::default() }
}

fn column(name: &str) -> usize {
    index_of(name).unwrap()
}

#[test]
fn a_batch_comes_back_as_it_went_in() {
    let batch = decoded(500);
    assert_eq!(batch.records.schema(), schema::wire());
    assert_eq!(batch.records.num_rows(), 500);
    assert_eq!(batch.meta.producer, header().producer);
    assert_eq!((batch.meta.first_seq, batch.meta.last_seq, batch.meta.batch_seq), (1, 500, 1));
    for row in 0..500 {
        let facts = Facts::of(row as i64 + 1);
        let record = facts.record();
        let records = &batch.records;
        assert_eq!(extract::i64_at(records, column("time"), row), Some(record.time_us));
        assert_eq!(extract::str_at(records, column("node_id"), row), Some("gate-1"));
        assert_eq!(extract::str_at(records, column("kind"), row), Some("transaction"));
        assert_eq!(extract::str_at(records, column("service"), row), record.service);
        assert_eq!(extract::str_at(records, column("query"), row), record.query);
        assert_eq!(extract::i32_at(records, column("status"), row), record.status);
        assert_eq!(extract::bool_at(records, column("tls_resumed"), row), record.tls_resumed);
        let trace_id = extract::bytes_at(records, column("trace_id"), row);
        assert_eq!(trace_id, record.trace_id.map(|id| id.as_slice()));
        let groups = extract::strs_at(records, column("auth_groups"), row);
        let groups: Vec<&str> = groups.into_iter().flatten().collect();
        assert_eq!(groups, record.auth_groups);
        assert_eq!(extract::i32s_at(records, column("waf_rule_ids"), row), None);
    }
}

#[test]
fn a_part_of_a_batch_has_its_rows_alone_and_says_which_numbers_they_cover() {
    let whole = decoded(100);
    let part = whole.part(&[3, 17, 1_000], 3).unwrap();
    assert_eq!((part.rows, part.first_seq(), part.last_seq(), part.seqs.count()), (2, 4, 18, 2));
    let part = decode(&part.bytes, &DecodeLimits::default()).unwrap();
    assert_eq!(part.meta, tollgate_record::BatchMeta { first_seq: 4, last_seq: 18, ..whole.meta.clone() });
    for (row, of_whole) in [(0, 3), (1, 17)] {
        let paths = [(&part, row), (&whole, of_whole)].map(|(b, row)| extract::str_at(&b.records, column("path"), row));
        assert_eq!(paths[0], paths[1]);
    }
    assert!(matches!(whole.part(&[100], 3), Err(EncodeError::Empty)));

    let gaps = [Gap { time_us: 1, seq: 5, count: 10, reason: GapReason::BufferFull }];
    let gaps = decode(&gap_batch(&header(), 7, &gaps).unwrap().bytes, &DecodeLimits::default()).unwrap();
    let part = gaps.part(&[0], 3).unwrap();
    assert_eq!((part.batch_seq, part.first_seq(), part.last_seq()), (7, 5, 14), "a gap covers what was shed");
    assert!(decode(&part.bytes, &DecodeLimits::default()).is_ok());
}

#[test]
fn batches_are_numbered_and_do_not_leak_into_each_other() {
    let mut builder = builder();
    builder.append(&Record { service: Some("first"), ..with_seq(1) });
    assert_eq!(builder.seal(1).unwrap().batch_seq, 1);
    assert_eq!((builder.len(), builder.raw_bytes(), builder.first_append_at()), (0, 0, None));
    assert_eq!(builder.take_batch_seq(), 2);
    builder.append(&Record { host: Some("second"), waf_rule_ids: &[949_110], ..with_seq(2) });
    let sealed = builder.seal(3).unwrap();
    assert_eq!(sealed.batch_seq, 3);
    let batch = decode(&sealed.bytes, &DecodeLimits::default()).unwrap();
    assert_eq!(batch.meta.batch_seq, 3);
    assert_eq!(extract::str_at(&batch.records, column("service"), 0), None);
    assert_eq!(extract::str_at(&batch.records, column("host"), 0), Some("second"));
    assert_eq!(extract::i32s_at(&batch.records, column("waf_rule_ids"), 0), Some(&[949_110][..]));
}

#[test]
fn ranges_are_the_runs_of_seqs_in_any_order() {
    let mut builder = builder();
    for seq in [7, 3, 4, 9, 8, 1] {
        builder.append(&with_seq(seq));
    }
    let sealed = builder.seal(1).unwrap();
    assert_eq!(sealed.seqs.to_string(), "1, 3..4, 7..9");
    assert_eq!((sealed.first_seq(), sealed.last_seq(), sealed.rows), (1, 9, 6));
}

#[test]
fn a_batch_is_full_at_its_rows_or_its_bytes_and_due_at_its_age() {
    let limits = SealLimits { records_max: 2, bytes_max: 2000, age_max: Duration::from_secs(1) };
    let mut builder = BatchBuilder::new(header(), limits);
    assert!(!builder.is_due(Instant::now() + Duration::from_secs(9)));
    builder.append(&with_seq(1));
    assert!(!builder.is_full());
    let first = builder.first_append_at().unwrap();
    assert!(!builder.is_due(first) && builder.is_due(first + limits.age_max));
    builder.append(&with_seq(2));
    assert!(builder.is_full());
    builder.seal(1).unwrap();
    let path = "x".repeat(PATH_BYTES_MAX);
    builder.append(&Record { path: Some(&path), query: Some(&path), ..with_seq(3) });
    assert!(builder.is_full());
}

#[test]
fn the_size_is_estimated_well_before_compression() {
    let mut builder = builder();
    for seq in 1..=4000 {
        builder.append(&Facts::of(seq).record());
    }
    let estimated = builder.raw_bytes() as f64;
    let raw = zstd::bulk::decompress(&builder.seal(1).unwrap().bytes, 8 << 20).unwrap().len() as f64;
    assert!((0.85..1.15).contains(&(raw / estimated)), "{raw} bytes, estimated {estimated}");
}

#[test]
fn a_caller_that_never_seals_is_stopped() {
    let mut builder = builder();
    for seq in 1..=tollgate_record::ROWS_MAX as i64 + 5 {
        builder.append(&with_seq(seq));
    }
    assert_eq!((builder.len(), builder.refused()), (tollgate_record::ROWS_MAX, 5));
    let sealed = builder.seal(1).unwrap();
    decode(&sealed.bytes, &DecodeLimits::default()).unwrap();
}

#[test]
fn text_is_cut_on_a_character_boundary_and_json_is_left_out() {
    let mut builder = builder();
    let agent = "é".repeat(200);
    let json = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
    let groups = vec!["group"; 100];
    let record = Record { user_agent: Some(&agent), headers: Some(&json), auth_groups: &groups, ..with_seq(1) };
    builder.append(&record);
    let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
    assert_eq!(extract::str_at(&batch.records, column("user_agent"), 0), Some("é".repeat(128).as_str()));
    assert_eq!(extract::str_at(&batch.records, column("headers"), 0), None);
    assert_eq!(extract::strs_at(&batch.records, column("auth_groups"), 0).unwrap().count(), 64);
}

/// A record whose every text is `text`.
fn full_of<'a>(text: &'a str, list: &'a [&'a str]) -> Record<'a> {
    let all = Some(text);
    Record {
        correlation_id: all,
        service: all,
        route: all,
        http_route: all,
        app_id: all,
        config_revision: all,
        client_ip: all,
        peer_ip: all,
        host: all,
        http_version: all,
        tls_version: all,
        tls_cipher: all,
        tls_sni: all,
        tls_alpn: all,
        client_cert_subject: all,
        client_cert_issuer: all,
        client_cert_serial: all,
        method: all,
        path: all,
        query: all,
        user_agent: all,
        consumer: all,
        credential_id: all,
        auth_groups: list,
        upstream_host: all,
        upstream_addr: all,
        error_detail: all,
        ..with_seq(1)
    }
}

/// The columns of a record that hold free text, and what the first row has there.
fn texts_of(record: &Record<'_>) -> Vec<(&'static str, String)> {
    let mut builder = builder();
    builder.append(record);
    let batch = decode(&builder.seal(1).unwrap().bytes, &DecodeLimits::default()).unwrap();
    let text = |column: usize| match COLUMNS[column].ty {
        ColumnType::Utf8 => extract::str_at(&batch.records, column, 0).map(str::to_owned),
        ColumnType::Utf8List => {
            extract::strs_at(&batch.records, column, 0).map(|mut items| items.next().unwrap().into())
        }
        _ => None,
    };
    (0..COLUMNS.len()).filter_map(|column| Some((COLUMNS[column].name, text(column)?))).collect()
}

#[test]
fn no_column_holds_what_forges_a_line_or_commands_a_terminal() {
    let hostile = "a\nb\r\x1b[2J\u{9b}1m\u{7f}\u{2028}\u{202e}\u{feff}\u{e0041}z";
    let safe = "a\\x0ab\\x0d\\x1b[2J\\u{009b}1m\\x7f\\u{2028}\\u{202e}\\u{feff}\\u{e0041}z";
    let list = [hostile];
    let texts = texts_of(&full_of(hostile, &list));
    // What the proxy does not fill from outside: the batch's header, closed lists, and the JSON of headers.
    let own = ["node_id", "producer", "kind"];
    for (column, text) in texts.iter().filter(|(column, _)| !own.contains(column)) {
        let cap = COLUMNS[index_of(column).unwrap()].bytes_max;
        assert_eq!(*text, cleaned(hostile, cap), "{column}");
        assert!(safe.starts_with(text.as_str()), "{column}: {text}");
    }
    let free = |column: &&Column| matches!(column.ty, ColumnType::Utf8 | ColumnType::Utf8List) && column.bytes_max > 0;
    let missing: Vec<&str> = COLUMNS.iter().filter(free).map(|column| column.name).collect();
    let missing: Vec<&&str> = missing.iter().filter(|name| !texts.iter().any(|(filled, _)| filled == *name)).collect();
    assert_eq!(missing, [&"headers"], "a new column of text: add it to `full_of`");
}

#[test]
fn no_column_ends_within_an_escape() {
    for (column, cap) in [("path", PATH_BYTES_MAX), ("query", PATH_BYTES_MAX), ("host", 256), ("correlation_id", 128)] {
        for short in 0..8 {
            // The character is escaped as %E2%82%AC.
            let text = format!("{}%E2%82%ACz", "x".repeat(cap - short));
            let list = [text.as_str()];
            let texts = texts_of(&full_of(&text, &list));
            let kept = &texts.iter().find(|(name, _)| *name == column).unwrap().1;
            assert_eq!(kept, &"x".repeat(cap - short), "{column}, {short} before its cap");
        }
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let mut builder = builder();
    assert!(matches!(builder.seal(1), Err(EncodeError::Empty)));
    builder.append(&with_seq(0));
    assert!(matches!(builder.seal(1), Err(EncodeError::Seq(0))));
    builder.append(&with_seq(5));
    builder.append(&with_seq(5));
    assert!(matches!(builder.seal(1), Err(EncodeError::DuplicateSeq(5))));
    builder.append(&with_seq(6));
    assert_eq!(builder.seal(1).unwrap().batch_seq, 1);
    for (producer, node_id) in [("gate-1/1/0", "gate-2"), ("gate 1/1/0", "gate 1"), ("", "")] {
        let header =
            tollgate_record::BatchHeader { producer: producer.to_owned(), node_id: node_id.to_owned(), ..header() };
        let mut builder = BatchBuilder::new(header, SealLimits::default());
        builder.append(&with_seq(1));
        assert!(matches!(builder.seal(1), Err(EncodeError::NodeId(_) | EncodeError::Producer(_))));
    }
}

#[test]
fn a_gap_batch_covers_what_was_shed() {
    let gap = |seq, count, reason| Gap { time_us: 9, seq, count, reason };
    let gaps = [gap(10, 5, GapReason::BufferFull), gap(30, 1, GapReason::SpoolFull)];
    let sealed = gap_batch(&header(), 7, &gaps).unwrap();
    assert_eq!((sealed.batch_seq, sealed.rows), (7, 2));
    assert_eq!(sealed.seqs.to_string(), "10..14, 30");
    let batch = decode(&sealed.bytes, &DecodeLimits::default()).unwrap();
    assert_eq!((batch.meta.first_seq, batch.meta.last_seq), (10, 30));
    let row = |name: &str| extract::str_at(&batch.records, column(name), 0).map(str::to_owned);
    assert_eq!(row("kind").as_deref(), Some(Kind::Gap.as_str()));
    assert_eq!(row("gap_reason").as_deref(), Some("buffer_full"));
    assert_eq!(extract::i64_at(&batch.records, column("gap_count"), 0), Some(5));
    assert!(matches!(gap_batch(&header(), 1, &[]), Err(EncodeError::Empty)));
    let overlapping = [gap(1, 5, GapReason::BufferFull), gap(5, 1, GapReason::BufferFull)];
    assert!(matches!(gap_batch(&header(), 1, &overlapping), Err(EncodeError::DuplicateSeq(5))));
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let again =
        |sealed: &tollgate_record::SealedBatch| decode(&sealed.bytes, &DecodeLimits::default()).unwrap().records;
    assert_eq!(again(&sealed(50)), again(&sealed(50)));
}
