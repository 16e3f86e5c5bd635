"""The pipeline itself: every record that a proxy issued, on its way to each sink; nothing lost, nothing late."""

from .panels import dashboard, or_none, prom, row, series, sql, stat, table

RATE = "[$__rate_interval]"


def quantile(q, metric, by="le"):
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{RATE})))"


NOW = row(
    "Nothing lost?",
    stat("Missing", "Holes in the numbering of the records that no gap record explains. Must be 0.",
         prom("sum(tollgate_records_missing) or vector(0)"), thresholds=[(1, "red")], runbook="RecordsMissing"),
    stat("Doubled", "Records with a number of which there is one already, in the chosen time. Must be 0.",
         prom("sum(increase(tollgate_records_doubled_total[$__range])) or vector(0)"), thresholds=[(1, "red")], runbook="RecordsDoubled"),
    stat("Shed", "Records that proxies dropped because memory and spool were full, in the chosen time. Each is declared by a gap record.",
         prom("sum(increase(tollgate_proxy_records_shed_total[$__range])) or vector(0)"), thresholds=[(1, "red")], runbook="RecordsShed"),
    stat("Refused batches", "Batches that the collector refused for good, in the chosen time; they lie aside at the proxy.",
         prom("sum(increase(tollgate_proxy_batches_refused_total[$__range])) or vector(0)"), thresholds=[(1, "red")], runbook="BatchesRefused"),
    stat("Not yet acknowledged", "Records that proxies issued and that are not on the collector's disk yet: in flight, in memory or in a spool.",
         prom("clamp_min(sum(tollgate_proxy_records_issued_total) - sum(tollgate_proxy_records_acked_total)"
              " - (sum(tollgate_proxy_records_shed_total) or vector(0)), 0)"),
         thresholds=[(100000, "yellow")], runbook="ProxySpooling"),
    stat("Slowest sink", "Age of the oldest record that some sink has not delivered yet.",
         prom("max(tollgate_sink_lag_age_seconds)"), unit="s", thresholds=[(60, "yellow"), (600, "red")], runbook="SinkLagging"),
    stat("Newest row", "Age of the newest row that a query sees: the way from the proxy to SQL.",
         sql("SELECT extract(epoch FROM now()) - extract(epoch FROM max(time)) AS age FROM transactions WHERE $__timeFilter(time)"),
         unit="s", thresholds=[(30, "yellow"), (300, "red")], runbook="CollectorDown"),
)

PROXY = row(
    "Proxies",
    series("Records", "Records a second at each stage. The lines lie on each other when nothing waits.",
           [prom(f"sum(rate(tollgate_proxy_records_issued_total{RATE}))", "issued"),
            prom(f"sum(rate(tollgate_proxy_records_acked_total{RATE}))", "acknowledged"),
            prom(f"sum(rate(tollgate_ingest_durable_records_total{RATE}))", "on the collector's disk")], "ops"),
    series("Waiting at the proxies", "Bytes of batches in memory and on disk that wait to be sent.",
           [prom("sum by (instance) (tollgate_proxy_ring_bytes)", "{{instance}} memory"),
            prom("sum by (instance) (tollgate_proxy_spool_bytes)", "{{instance}} spool")], "bytes", runbook="ProxySpooling"),
    series("Batches", "Batches a second that proxies sealed and that the collector acknowledged.",
           [prom(f"sum(rate(tollgate_proxy_batches_sealed_total{RATE}))", "sealed"),
            prom(f"sum(rate(tollgate_proxy_batches_acked_total{RATE}))", "acknowledged")], "ops"),
    series("Sending a batch", "From sending a batch to its acknowledgement: half and 99 % are quicker.",
           [prom(quantile(q, "tollgate_proxy_ship_duration_seconds"), name) for q, name in [(0.5, "half"), (0.99, "99 %")]],
           "s", thresholds=[(0.25, "red")], runbook="IngestAckSlow"),
    series("Failed attempts", "Failed attempts to send a batch, by cause. The batch waits and is sent again.",
           [prom(f"sum by (cause) (rate(tollgate_proxy_ship_errors_total{RATE}))" + or_none("cause"), "{{cause}}")], "ops", runbook="ProxySpooling"),
    series("Connections and transactions", "Open client connections, and transactions in flight.",
           [prom("sum by (listener) (tollgate_proxy_connections_open)", "connections {{listener}}"), prom("sum(tollgate_proxy_inflight)", "in flight")]),
    series("Upstream connections", "Attempts on upstream connections a second: fresh ones cost a handshake.",
           [prom(f"sum by (reused) (rate(tollgate_proxy_upstream_connections_total{RATE}))", "reused: {{reused}}")], "ops"),
    series("New connections", "Client connections a second, by listener.",
           [prom(f"sum by (listener) (rate(tollgate_proxy_connections_total{RATE}))", "{{listener}}")], "ops"),
    table("Builds and configurations", "What runs where, and under which configuration.",
          prom("tollgate_build_info * on (instance) group_left (revision) tollgate_proxy_config_info"
               " or (tollgate_build_info unless on (instance) tollgate_proxy_config_info)", instant=True), width=8, height=8,
          hide=("Time", "__name__", "Value", "job"), runbook="ProxiesDisagreeOnConfig"),
)

COLLECTOR = row(
    "Collector",
    series("Batches received", "Batches a second by outcome. Duplicates are resends after a lost answer and are harmless.",
           [prom(f"sum by (outcome) (rate(tollgate_ingest_batches_total{RATE}))", "{{outcome}}")], "ops", runbook="IngestRejectingBatches"),
    series("Received", "Compressed bytes a second of accepted batches.", [prom(f"sum(rate(tollgate_ingest_bytes_total{RATE}))", "received")], "Bps"),
    series("Acknowledging and syncing", "99 % of the acknowledgements and of the disk syncs are quicker than this. The budget of an acknowledgement is 100 ms.",
           [prom(quantile(0.99, "tollgate_ingest_ack_seconds"), "acknowledgement"), prom(quantile(0.99, "tollgate_journal_fsync_seconds"), "disk sync")],
           "s", thresholds=[(0.1, "red")], runbook="JournalFsyncSlow"),
    series("Journal", "Bytes in the journal, and its limit. It is trimmed as far as the slowest sink has got.",
           [prom("sum by (instance) (tollgate_journal_bytes)", "{{instance}}"), prom("sum by (instance) (tollgate_journal_bytes_max)", "{{instance}} limit")],
           "bytes", runbook="JournalNearLimit"),
    series("Journal, share of its limit", "At its high-water mark the collector refuses batches, and the proxies spool.",
           [prom("tollgate_journal_bytes / tollgate_journal_bytes_max", "{{instance}}")], "percentunit", thresholds=[(0.8, "red")], max=1,
           runbook="JournalNearLimit"),
    series("Segments and damage", "Segments of the journal, and frames set aside as damaged. Any damage is a loss that needs a look.",
           [prom("sum by (instance) (tollgate_journal_segments)", "segments {{instance}}"),
            prom("sum(tollgate_journal_quarantined_frames_total) or vector(0)", "damaged frames")], runbook="JournalQuarantinedFrames"),
)

SINKS = row(
    "Sinks",
    series("Age of the oldest undelivered record", "By sink. A slow sink delays no other and costs disk only.",
           [prom("max by (sink) (tollgate_sink_lag_age_seconds)", "{{sink}}")], "s", thresholds=[(60, "red")], runbook="SinkLagging"),
    series("Frames behind", "Durable frames that a sink has not delivered yet.", [prom("max by (sink) (tollgate_sink_lag_frames)", "{{sink}}")],
           runbook="SinkLagging"),
    series("Delivered", "Records a second that each sink has durably delivered.",
           [prom(f"sum by (sink) (rate(tollgate_sink_delivered_records_total{RATE}))", "{{sink}}")], "ops"),
    series("One delivery", "99 % of the deliveries of a sink are quicker than this.",
           [prom(quantile(0.99, "tollgate_sink_deliver_seconds", "sink, le"), "{{sink}}")], "s"),
    series("Errors", "Errors a second of each sink, by class.",
           [prom(f"sum by (sink, class) (rate(tollgate_sink_errors_total{RATE}))" + or_none("sink"), "{{sink}} {{class}}")], "ops", runbook="SinkLagging"),
    series("Refused and skipped", "Records that a sink refused for good (dead-letter file) or skipped by policy, in all.",
           [prom("sum by (sink) (tollgate_sink_rejected_records_total)" + or_none("sink"), "refused {{sink}}"),
            prom("sum by (sink) (tollgate_sink_skipped_records_total)" + or_none("sink"), "skipped {{sink}}")], runbook="SinkRejectingRecords"),
    series("Hot rows", "Rows that can be queried and are not in the table yet, and rows dropped from memory before they were.",
           [prom("sum(tollgate_hot_rows)", "hot rows"), prom("sum(increase(tollgate_hot_rows_evicted_total[$__rate_interval])) or vector(0)", "dropped")],
           runbook="HotRowsEvicted"),
    series("Memory of the hot rows", "Bytes that the hot rows take.", [prom("sum(tollgate_hot_bytes)", "hot rows")], "bytes", runbook="HotRowsEvicted"),
    series("Table", "Data files of the table, and its commits a minute.",
           [prom("max(tollgate_table_files)", "files"), prom("sum(deriv(tollgate_table_version[5m])) * 60", "commits a minute")]),
)

PROOF = row(
    "The proof, in SQL",
    table("Completeness", "Per producer: the numbers from the first to the last of the chosen time, how many are there, declared as shed, twice there, or neither."
          " At the edges of the time, and for records still on the way, a few are neither; `tollgate audit` is exact.",
          sql("""
              SELECT producer, "first", "last", get_field(account, 'rows') AS "records", seq_count(get_field(account, 'gaps')) AS "shed",
                seq_count(seq_holes(account, "first", "last")) AS "missing or open", seq_text(seq_holes(account, "first", "last")) AS "which",
                seq_count(get_field(account, 'doubled')) AS "doubled"
              FROM (
                SELECT producer, seq_account(seq, kind, gap_count, gap_reason) AS account,
                  min(seq) AS "first", max(seq + coalesce(gap_count, 1) - 1) AS "last"
                FROM transactions
                WHERE $__timeFilter(time)
                GROUP BY producer
              )
              ORDER BY 8 DESC, 6 DESC, 1
              LIMIT 100
          """), width=16, runbook="RecordsMissing"),
    table("Declared gaps", "Gap records of the chosen time: what was shed, when and why.",
          sql("""
              SELECT time, producer, seq AS "from", gap_count AS "records", gap_reason AS "reason"
              FROM transactions
              WHERE $__timeFilter(time) AND kind = 'gap'
              ORDER BY time DESC
              LIMIT 100
          """), width=8, runbook="RecordsShedReported"),
    series("Rows", "Rows of each kind, from the table: transactions, failed handshakes, gaps.",
           [sql("""
               SELECT $__timeGroupAlias(time, $__interval), kind AS metric, count(*) AS value
               FROM transactions
               WHERE $__timeFilter(time)
               GROUP BY 1, 2
               ORDER BY 1
           """, series=True)], width=24, stack=True),
)

DASHBOARD = dashboard(
    "tollgate-pipeline", "Tollgate: the pipeline", "Every record from the proxy that issued it to each sink: nothing lost, nothing late.",
    [NOW, PROXY, COLLECTOR, SINKS, PROOF],
)
