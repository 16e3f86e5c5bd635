//! The registry of metrics: what exists, under which name, with which labels.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets with these upper bounds, in seconds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word of the Prometheus text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// Which process shows a metric, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// The proxy's admin address, port 9901 by default.
    Proxy,
    /// The collector's admin address, port 9902 by default.
    Collector,
    /// The collector's admin address; derived from the records by the metrics sink.
    Records,
    /// Every process.
    Every,
}

/// One metric of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name, beginning with `tollgate_`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// One sentence: what it counts, and in which unit.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Which process shows it.
    pub process: Process,
}

/// Seconds from 1 ms to 30 s: a transaction as its client sees it.
pub const TRANSACTION_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds from 10 µs to 1 s: the gateway's own share of a transaction.
pub const GATEWAY_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];

/// Seconds from 0.1 ms to 10 s: a disk sync, an acknowledgement, a delivery.
pub const IO_SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The metric of this name.
pub fn metric(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

/// Declares the constants and [`ALL`] from one table, so that neither can lack what the other has.
macro_rules! registry {
    ($($constant:ident = $name:literal $process:ident $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $constant: &str = $name;
        )*

        /// Every metric that exists.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, help: $help, labels: &[$($label),*], process: Process::$process },)*
        ];
    };
}

use Kind::{Counter, Gauge, Histogram};

registry! {
    BUILD_INFO = "tollgate_build_info" Every Gauge, ["version", "binary"],
        "always 1; the labels say which build this is";

    PROXY_CONNECTIONS_TOTAL = "tollgate_proxy_connections_total" Proxy Counter, ["listener"],
        "connections accepted";
    PROXY_CONNECTIONS_OPEN = "tollgate_proxy_connections_open" Proxy Gauge, ["listener"],
        "connections open now";
    PROXY_CONNECTIONS_RESTING = "tollgate_proxy_connections_resting" Proxy Gauge, ["listener"],
        "HTTP/1.1 connections open now that gave up their buffers until the next request";
    PROXY_CONNECTIONS_REFUSED_TOTAL = "tollgate_proxy_connections_refused_total" Proxy Counter, ["listener", "cap"],
        "connections closed at once, by the cap that was reached: worker, listener or client";
    PROXY_HANDSHAKE_FAILURES_TOTAL = "tollgate_proxy_handshake_failures_total" Proxy Counter, ["listener", "reason"],
        "TLS handshakes that failed";
    PROXY_HEADERS_REFUSED_TOTAL = "tollgate_proxy_headers_refused_total" Proxy Counter, ["listener", "reason"],
        "connections closed for their PROXY header: untrusted (the peer may send none), malformed, timeout or closed";
    PROXY_HTTP2_FLOODS_TOTAL = "tollgate_proxy_http2_floods_total" Proxy Counter, ["listener", "cause"],
        "HTTP/2 client connections cut: too many control_frames or resets, or by a bound of the protocol engine (engine)";
    PROXY_TRANSACTIONS_TOTAL = "tollgate_proxy_transactions_total" Proxy Counter, ["service", "status_class"],
        "transactions finished; 499 counts as 4xx, service is _none if none matched and _other past the cap";
    PROXY_TRANSACTION_DURATION_SECONDS = "tollgate_proxy_transaction_duration_seconds" Proxy Histogram(TRANSACTION_SECONDS), ["service"],
        "seconds from the request head to the end of the response";
    PROXY_ERRORS_TOTAL = "tollgate_proxy_errors_total" Proxy Counter, ["error_class"],
        "transactions that ended in an error, by its cause";
    PROXY_INFLIGHT = "tollgate_proxy_inflight" Proxy Gauge, [],
        "transactions in flight now";
    PROXY_DRAIN_CUT_TOTAL = "tollgate_proxy_drain_cut_total" Proxy Counter, [],
        "transactions cut at the end of the drain; the log tells it too, as the process ends then";
    PROXY_UPSTREAM_CONNECTIONS_TOTAL = "tollgate_proxy_upstream_connections_total" Proxy Counter, ["reused"],
        "attempts on upstream connections, fresh or reused";
    PROXY_UPSTREAM_RETRIES_TOTAL = "tollgate_proxy_upstream_retries_total" Proxy Counter, ["outcome"],
        "second attempts: made, or denied by the budget or the bound on attempts";
    PROXY_UPSTREAM_EJECTIONS_TOTAL = "tollgate_proxy_upstream_ejections_total" Proxy Counter, ["cause"],
        "targets put out: passive by failed transactions, active by checks";
    PROXY_UPSTREAM_TARGETS_OUT = "tollgate_proxy_upstream_targets_out" Proxy Gauge, ["cause"],
        "targets that are out now, by failed transactions (passive) or by checks (active)";
    PROXY_RECORDS_ISSUED_TOTAL = "tollgate_proxy_records_issued_total" Proxy Counter, [],
        "records that got a seq";
    PROXY_BATCHES_SEALED_TOTAL = "tollgate_proxy_batches_sealed_total" Proxy Counter, [],
        "batches sealed";
    PROXY_BATCHES_ACKED_TOTAL = "tollgate_proxy_batches_acked_total" Proxy Counter, [],
        "batches that the collector has made durable";
    PROXY_RECORDS_ACKED_TOTAL = "tollgate_proxy_records_acked_total" Proxy Counter, [],
        "records that the collector has made durable";
    PROXY_RECORDS_SHED_TOTAL = "tollgate_proxy_records_shed_total" Proxy Counter, ["reason"],
        "records shed because ring and spool were full; each is covered by a gap record";
    PROXY_BATCHES_REFUSED_TOTAL = "tollgate_proxy_batches_refused_total" Proxy Counter, ["status"],
        "batches that the collector refused for good and that were set aside";
    PROXY_RING_BYTES = "tollgate_proxy_ring_bytes" Proxy Gauge, [],
        "bytes of sealed batches that wait in memory";
    PROXY_SPOOL_BYTES = "tollgate_proxy_spool_bytes" Proxy Gauge, [],
        "bytes of sealed batches that wait on disk";
    PROXY_SHIP_ERRORS_TOTAL = "tollgate_proxy_ship_errors_total" Proxy Counter, ["cause"],
        "failed attempts to send a batch to the collector";
    PROXY_SHIP_DURATION_SECONDS = "tollgate_proxy_ship_duration_seconds" Proxy Histogram(IO_SECONDS), [],
        "seconds from sending a batch to its acknowledgement";
    PROXY_CONFIG_INFO = "tollgate_proxy_config_info" Proxy Gauge, ["revision"],
        "1 for the revision of the configuration that is in force";
    PROXY_RELOADS_TOTAL = "tollgate_proxy_reloads_total" Proxy Counter, ["outcome"],
        "reloads of the configuration: ok, or failed with the one before still in force";
    PROXY_PLANS_IN_USE = "tollgate_proxy_plans_in_use" Proxy Gauge, [],
        "configurations in memory: the one in force, and earlier ones that transactions began under";
    PROXY_ISSUER_UP = "tollgate_proxy_issuer_up" Proxy Gauge, ["provider"],
        "1 if the last fetch of the keys of an issuer of tokens was good, else 0";
    PROXY_ISSUER_KEYS_AGE_SECONDS = "tollgate_proxy_issuer_keys_age_seconds" Proxy Gauge, ["provider"],
        "seconds since the keys of an issuer of tokens were fetched; -1 = never. They are used for a day";
    PROXY_ISSUER_FETCHES_TOTAL = "tollgate_proxy_issuer_fetches_total" Proxy Counter, ["provider", "outcome"],
        "fetches of the keys of an issuer of tokens: ok, failed";
    PROXY_ISSUER_QUESTIONS_TOTAL = "tollgate_proxy_issuer_questions_total" Proxy Counter, ["provider", "outcome"],
        "questions to an issuer about opaque tokens (RFC 7662): active, refused, failed without a verdict";

    INGEST_BATCHES_TOTAL = "tollgate_ingest_batches_total" Collector Counter, ["outcome"],
        "batches received: accepted, duplicate, malformed, too_large, forbidden, unavailable";
    INGEST_RECORDS_TOTAL = "tollgate_ingest_records_total" Collector Counter, [],
        "records in accepted batches";
    INGEST_DURABLE_RECORDS_TOTAL = "tollgate_ingest_durable_records_total" Collector Counter, [],
        "records synced to stable storage";
    INGEST_BYTES_TOTAL = "tollgate_ingest_bytes_total" Collector Counter, [],
        "compressed bytes of accepted batches";
    INGEST_ACK_SECONDS = "tollgate_ingest_ack_seconds" Collector Histogram(IO_SECONDS), [],
        "seconds from the first byte of a batch to its acknowledgement";
    JOURNAL_BYTES = "tollgate_journal_bytes" Collector Gauge, [],
        "bytes in the journal";
    JOURNAL_BYTES_MAX = "tollgate_journal_bytes_max" Collector Gauge, [],
        "bytes that the journal may hold";
    JOURNAL_SEGMENTS = "tollgate_journal_segments" Collector Gauge, [],
        "segments in the journal";
    JOURNAL_DISPLACED = "tollgate_journal_displaced" Collector Gauge, [],
        "1 while the journal's files are not where they were: nothing is acknowledged";
    JOURNAL_FSYNC_SECONDS = "tollgate_journal_fsync_seconds" Collector Histogram(IO_SECONDS), [],
        "seconds of one fdatasync";
    JOURNAL_QUARANTINED_FRAMES_TOTAL = "tollgate_journal_quarantined_frames_total" Collector Counter, [],
        "damaged frames set aside; any is a loss that needs a look";
    JOURNAL_LAST_POSITION = "tollgate_journal_last_position" Collector Gauge, [],
        "position of the last durable frame";
    SINK_DELIVERED_RECORDS_TOTAL = "tollgate_sink_delivered_records_total" Collector Counter, ["sink"],
        "records that a sink has durably delivered";
    SINK_LAG_FRAMES = "tollgate_sink_lag_frames" Collector Gauge, ["sink"],
        "durable frames that a sink has not delivered yet";
    SINK_LAG_AGE_SECONDS = "tollgate_sink_lag_age_seconds" Collector Gauge, ["sink"],
        "age of the oldest frame that a sink has not delivered yet, in seconds";
    SINK_ERRORS_TOTAL = "tollgate_sink_errors_total" Collector Counter, ["sink", "class"],
        "errors of a sink, by class";
    SINK_REJECTED_RECORDS_TOTAL = "tollgate_sink_rejected_records_total" Collector Counter, ["sink"],
        "records that a sink refused for good; they are in its dead-letter file";
    SINK_SKIPPED_RECORDS_TOTAL = "tollgate_sink_skipped_records_total" Collector Counter, ["sink"],
        "records skipped by policy because a sink was too far behind";
    SINK_DELIVER_SECONDS = "tollgate_sink_deliver_seconds" Collector Histogram(IO_SECONDS), ["sink"],
        "seconds of one delivery";
    HOT_ROWS = "tollgate_hot_rows" Collector Gauge, [],
        "rows that can be queried and are not in the table yet";
    HOT_BYTES = "tollgate_hot_bytes" Collector Gauge, [],
        "bytes of memory that hot rows take";
    HOT_ROWS_EVICTED_TOTAL = "tollgate_hot_rows_evicted_total" Collector Counter, [],
        "hot rows dropped from memory before they were in the table; they are still in the journal";
    TABLE_VERSION = "tollgate_table_version" Collector Gauge, [],
        "version of the table";
    TABLE_FILES = "tollgate_table_files" Collector Gauge, [],
        "data files of the table's current version";
    TABLE_REFRESH_FAILURES_TOTAL = "tollgate_table_refresh_failures_total" Collector Counter, [],
        "of a query server of its own: times that the table's newest version could not be read";
    QUERIES_RUNNING = "tollgate_queries_running" Collector Gauge, [],
        "queries that run, those whose reader is slow among them; a query server of its own shows it too";
    QUERIES_WAITING = "tollgate_queries_waiting" Collector Gauge, [],
        "queries that wait for others to end; a query server of its own shows it too";
    QUERIES_MEMORY_BYTES = "tollgate_queries_memory_bytes" Collector Gauge, [],
        "bytes of memory that running queries hold; a query server of its own shows it too";
    QUERIES_SPILLED_BYTES = "tollgate_queries_spilled_bytes" Collector Gauge, [],
        "bytes on disk that running queries have spilled; a query server of its own shows it too";
    TABLE_DOUBLES_TOTAL = "tollgate_table_doubles_total" Collector Counter, [],
        "rows left out of the table because another collector had stored their batch";
    TABLE_SIDECARS_DAMAGED_TOTAL = "tollgate_table_sidecars_damaged_total" Collector Counter, [],
        "roll-ups and id filters beside data files that were found missing or damaged; their data files are scanned";
    TABLE_MERGE_RUNS_TOTAL = "tollgate_table_merge_runs_total" Collector Counter, [],
        "runs of compaction, those that found nothing to do included";
    TABLE_MERGES_TOTAL = "tollgate_table_merges_total" Collector Counter, [],
        "merges that compaction has committed";
    TABLE_MERGE_FILES_IN_TOTAL = "tollgate_table_merge_files_in_total" Collector Counter, [],
        "files that merges have replaced";
    TABLE_MERGE_FILES_OUT_TOTAL = "tollgate_table_merge_files_out_total" Collector Counter, [],
        "files that merges have made";
    TABLE_MERGE_ROWS_TOTAL = "tollgate_table_merge_rows_total" Collector Counter, [],
        "rows of the files that merges have replaced; a row counts once for each of its merges";
    TABLE_MERGE_BYTES_TOTAL = "tollgate_table_merge_bytes_total" Collector Counter, [],
        "bytes of the files that merges have made";
    TABLE_MERGE_SECONDS_TOTAL = "tollgate_table_merge_seconds_total" Collector Counter, [],
        "whole seconds that compaction has run for, its rests included";
    TABLE_UNMERGED_SECONDS = "tollgate_table_unmerged_seconds" Collector Gauge, [],
        "seconds since the commit of the oldest file that compaction has not taken; it is behind from 600 on";
    SPANS_EXPORTED_TOTAL = "tollgate_spans_exported_total" Collector Counter, [],
        "spans that the receiver of spans took, those of stages included";
    SPANS_SAMPLED_OUT_TOTAL = "tollgate_spans_sampled_out_total" Collector Counter, [],
        "transactions in a trace that were not exported: not sampled, or not in the ratio";
    SPANS_REFUSED_TOTAL = "tollgate_spans_refused_total" Collector Counter, [],
        "spans that the receiver of spans refused in requests of which it took the rest";

    TRANSACTIONS_TOTAL = "tollgate_transactions_total" Records Counter, ["service", "status_class"],
        "transactions; 499 counts as 4xx, service is _none if none matched and _other past the cap";
    TRANSACTION_DURATION_SECONDS = "tollgate_transaction_duration_seconds" Records Histogram(TRANSACTION_SECONDS), ["service"],
        "seconds from the request head to the end of the response";
    GATEWAY_DURATION_SECONDS = "tollgate_gateway_duration_seconds" Records Histogram(GATEWAY_SECONDS), [],
        "seconds that the gateway itself added to a transaction";
    ERRORS_TOTAL = "tollgate_errors_total" Records Counter, ["service", "error_class"],
        "transactions that ended in an error, by its cause";
    AUTH_TOTAL = "tollgate_auth_total" Records Counter, ["pattern", "result", "reason"],
        "authentication decisions";
    WAF_TOTAL = "tollgate_waf_total" Records Counter, ["action"],
        "decisions of the web application firewall";
    TLS_TOTAL = "tollgate_tls_total" Records Counter, ["version"],
        "transactions by TLS version";
    HANDSHAKE_FAILURES_TOTAL = "tollgate_handshake_failures_total" Records Counter, ["reason"],
        "TLS handshakes that failed";
    CLIENT_CERT_EXPIRY_TIMESTAMP_SECONDS = "tollgate_client_cert_expiry_timestamp_seconds" Records Gauge, ["consumer_subject"],
        "when a consumer's certificate expires, in seconds since 1970; the earliest seen of a subject";
    RECORDS_SHED_TOTAL = "tollgate_records_shed_total" Records Counter, ["reason"],
        "records that a gap record declares as shed";
    RECORDS_MISSING = "tollgate_records_missing" Records Gauge, ["producer"],
        "holes in a producer's seq that are older than the grace period";
    RECORDS_DOUBLED_TOTAL = "tollgate_records_doubled_total" Records Counter, [],
        "records with a seq of which this collector had stored a record already";
    REQUEST_BYTES_TOTAL = "tollgate_request_bytes_total" Records Counter, ["service"],
        "bytes of request bodies";
    RESPONSE_BYTES_TOTAL = "tollgate_response_bytes_total" Records Counter, ["service"],
        "bytes of response bodies";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_used_once_and_follows_the_conventions() {
        let mut seen = HashSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} stands twice", metric.name);
            assert!(metric.name.starts_with("tollgate_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
            assert!(!metric.help.ends_with('.') && !metric.help.is_empty(), "{}", metric.name);
            if let Histogram(buckets) = metric.kind {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
                assert!(buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
            }
        }
    }

    #[test]
    fn a_process_can_be_told_from_the_name() {
        for metric in ALL {
            assert_eq!(metric.name.starts_with("tollgate_proxy_"), metric.process == Process::Proxy, "{}", metric.name);
        }
    }
}
