"""One API: what its callers see, why its transactions fail, and where its time goes."""

from .panels import dashboard, or_none, prom, row, series, service_variable, sql, stat, table

ONE = 'service="$service"'
RATE = "[$__rate_interval]"
MINE = "$__timeFilter(time) AND service = ${service:sqlstring}"


def quantile(q):
    return f"histogram_quantile({q}, sum by (le) (rate(tollgate_transaction_duration_seconds_bucket{{{ONE}}}{RATE})))"


NOW = row(
    "Now",
    stat("Transactions", "Transactions a second of this API.", prom(f"sum(rate(tollgate_transactions_total{{{ONE}}}{RATE}))"), unit="reqps"),
    stat("Success", "Share of its transactions that did not end in a 5xx.",
         prom(f'1 - (sum(rate(tollgate_transactions_total{{{ONE},status_class="5xx"}}{RATE})) or vector(0))'
              f" / sum(rate(tollgate_transactions_total{{{ONE}}}{RATE}))"), unit="percentunit", base="red",
         thresholds=[(0.99, "yellow"), (0.999, "green")], decimals=3, min=0, max=1, runbook="ErrorBudgetBurn"),
    stat("99th percentile", "One transaction in a hundred takes longer than this.", prom(quantile(0.99)), unit="s"),
    stat("Error budget, last hour", "How many times too fast it spends its error budget: 1 is just allowed, 14.4 pages.",
         prom(f"tollgate:burn_rate:1h{{{ONE}}}"), thresholds=[(1, "yellow"), (14.4, "red")], runbook="ErrorBudgetBurn", decimals=1),
    stat("Error budget, last six hours", "The same over six hours; 6 pages.",
         prom(f"tollgate:burn_rate:6h{{{ONE}}}"), thresholds=[(1, "yellow"), (6, "red")], runbook="ErrorBudgetBurn", decimals=1),
    stat("Fails at the upstream", "Share of the last minute's transactions that failed because of the upstream; more than half pages.",
         prom(f"(tollgate:upstream_failures:rate1m{{{ONE}}} or tollgate:transactions:rate1m{{{ONE}}} * 0) / tollgate:transactions:rate1m{{{ONE}}}"),
         unit="percentunit", thresholds=[(0.05, "yellow"), (0.5, "red")], runbook="UpstreamFailing"),
)

TRAFFIC = row(
    "Traffic",
    series("By status", "Transactions a second by class of the status.",
           [prom(f"sum by (status_class) (rate(tollgate_transactions_total{{{ONE}}}{RATE}))", "{{status_class}}")], "reqps", stack=True),
    series("Errors by cause", "Transactions a second that ended in an error, by its cause.",
           [prom(f"sum by (error_class) (rate(tollgate_errors_total{{{ONE}}}{RATE}))" + or_none("error_class"), "{{error_class}}")],
           "reqps", stack=True, runbook="UpstreamFailing"),
    series("Duration", "Half, 95 % and 99 % of the transactions are quicker than this.",
           [prom(quantile(q), name) for q, name in [(0.5, "half"), (0.95, "95 %"), (0.99, "99 %")]], "s"),
    series("Where the time goes", "Mean of each stage of a transaction; a stage that was not reached (a reused connection has no DNS) does not count.",
           [sql(f"""
               SELECT $__timeGroupAlias(time, $__interval), avg(gateway_us) AS "gateway", avg(upstream_dns_us) AS "DNS", avg(upstream_connect_us) AS "connect",
                 avg(upstream_tls_us) AS "TLS", avg(upstream_ttfb_us) AS "first byte", avg(upstream_receive_us) AS "receive"
               FROM transactions
               WHERE {MINE}
               GROUP BY 1
               ORDER BY 1
           """, series=True)], "µs", width=12),
    series("Status, exactly", "Transactions by the exact status, from the table.",
           [sql(f"""
               SELECT $__timeGroupAlias(time, $__interval), cast(status AS varchar) AS metric, count(*) AS value
               FROM transactions
               WHERE {MINE} AND status IS NOT NULL
               GROUP BY 1, 2
               ORDER BY 1
           """, series=True)], "short", width=12, stack=True),
)

DETAIL = row(
    "From the records",
    table("Routes", "Its routes in the chosen time: traffic, failures and duration, busiest first.",
          sql(f"""
              SELECT coalesce(route, '-') AS "route", method, count(*) AS "transactions",
                count(*) FILTER (WHERE status >= 500) AS "5xx", count(*) FILTER (WHERE status BETWEEN 400 AND 499) AS "4xx",
                approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY total_us) AS "half below", approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY total_us) AS "99 % below"
              FROM transactions
              WHERE {MINE}
              GROUP BY 1, 2
              ORDER BY 3 DESC
              LIMIT 50
          """), units={"half below": "µs", "99 % below": "µs"}),
    table("Callers", "Who calls it, with what success.",
          sql(f"""
              SELECT coalesce(consumer, '(anonymous)') AS "consumer", auth_pattern AS "authenticates by", count(*) AS "transactions",
                count(*) FILTER (WHERE error_class IS NOT NULL) AS "failed", max(time) AS "last"
              FROM transactions
              WHERE {MINE}
              GROUP BY 1, 2
              ORDER BY 3 DESC
              LIMIT 50
          """)),
    table("Upstreams", "The addresses that answered, or did not.",
          sql(f"""
              SELECT coalesce(upstream_addr, '(never proxied)') AS "upstream", count(*) AS "transactions",
                count(*) FILTER (WHERE error_class IS NOT NULL) AS "failed", count(*) FILTER (WHERE upstream_attempts > 1) AS "retried",
                avg(CASE WHEN upstream_reused THEN 1.0 ELSE 0.0 END) AS "reused", approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY upstream_ttfb_us) AS "first byte, 99 % below"
              FROM transactions
              WHERE {MINE}
              GROUP BY 1
              ORDER BY 2 DESC
              LIMIT 50
          """), units={"reused": "percentunit", "first byte, 99 % below": "µs"}, runbook="UpstreamFailing"),
    table("Slowest transactions", "The fifty slowest of the chosen time, with where the time went.",
          sql(f"""
              SELECT time, method, path, status, total_us, gateway_us, upstream_connect_us, upstream_ttfb_us, upstream_receive_us, termination, request_id
              FROM transactions
              WHERE {MINE}
              ORDER BY total_us DESC
              LIMIT 50
          """), units={f"{name}_us": "µs" for name in ["total", "gateway", "upstream_connect", "upstream_ttfb", "upstream_receive"]}),
    table("Latest failures", "The hundred latest failed transactions. `tollgate find ID` tells the story of one.",
          sql(f"""
              SELECT time, method, path, status, error_class AS "cause", error_detail AS "detail", response_source AS "answered by",
                termination AS "ended by", upstream_addr AS "upstream", upstream_attempts AS "attempts", consumer, client_ip, request_id
              FROM transactions
              WHERE {MINE} AND error_class IS NOT NULL
              ORDER BY time DESC
              LIMIT 100
          """), width=24, height=10, runbook="UpstreamFailing"),
)

DASHBOARD = dashboard(
    "tollgate-api", "Tollgate: one API", "What the callers of one API see, why its transactions fail, and where its time goes.",
    [NOW, TRAFFIC, DETAIL], variables=[service_variable()],
)
