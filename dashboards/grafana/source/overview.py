"""The gateway at a glance: is it well, and if not, which API suffers and who is to act."""

from .panels import dashboard, or_none, prom, row, series, sql, stat, table

API = "/d/tollgate-api?var-service=${__value.raw:percentencode}&${__url_time_range}"


def quantile(q, metric, by="le"):
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket[$__rate_interval])))"


NOW = row(
    "Now",
    stat("Transactions", "Transactions a second, all APIs, from the records.",
         prom("sum(rate(tollgate_transactions_total[$__rate_interval]))"), unit="reqps"),
    stat("Success", "Share of transactions that did not end in a 5xx. Errors of callers (4xx) do not count against it.",
         prom('1 - (sum(rate(tollgate_transactions_total{status_class="5xx"}[$__rate_interval])) or vector(0))'
              " / sum(rate(tollgate_transactions_total[$__rate_interval]))"),
         unit="percentunit", base="red", thresholds=[(0.99, "yellow"), (0.999, "green")], runbook="ErrorBudgetBurn", min=0, max=1, decimals=3),
    stat("99th percentile", "One transaction in a hundred takes longer than this, first byte in to last byte out.",
         prom(quantile(0.99, "tollgate_transaction_duration_seconds")), unit="s", thresholds=[(1, "yellow"), (5, "red")]),
    stat("Gateway overhead", "The gateway's own share of a transaction, 99th percentile; waits for caller and upstream are not in it.",
         prom(quantile(0.99, "tollgate_gateway_duration_seconds")), unit="s", thresholds=[(0.01, "red")], runbook="GatewayOverheadHigh"),
    stat("APIs over budget", "APIs that spend their error budget faster than their objective allows, over the last hour.",
         prom("count(tollgate:burn_rate:1h > 1) or vector(0)"), thresholds=[(1, "yellow"), (10, "red")], runbook="ErrorBudgetBurn"),
    stat("Alerts", "Alerts that fire now, pages and tickets.",
         prom('count(ALERTS{alertstate="firing"}) or vector(0)'), thresholds=[(1, "red")]),
)

TRAFFIC = row(
    "Traffic",
    series("By status", "Transactions a second by class of the status sent to the caller; a caller who left (499) counts as 4xx.",
           [prom("sum by (status_class) (rate(tollgate_transactions_total[$__rate_interval]))", "{{status_class}}")], "reqps", stack=True),
    series("Busiest APIs", "Transactions a second of the ten busiest APIs.",
           [prom("topk(10, sum by (service) (rate(tollgate_transactions_total[$__rate_interval])))", "{{service}}")], "reqps"),
    series("Errors by cause", "Transactions a second that ended in an error, by its cause. upstream_* and connect_* are for the API's team,"
           " bad_request, auth and acl for the caller, internal and dns for the gateway team.",
           [prom("sum by (error_class) (rate(tollgate_errors_total[$__rate_interval]))" + or_none("error_class"), "{{error_class}}")],
           "reqps", stack=True, runbook="ErrorClassSpike"),
    series("Duration", "Half, 95 % and 99 % of the transactions are quicker than this, all APIs.",
           [prom(quantile(q, "tollgate_transaction_duration_seconds"), name) for q, name in [(0.5, "half"), (0.95, "95 %"), (0.99, "99 %")]], "s"),
    series("Added by the gateway", "The gateway's own share of a transaction: half, 95 % and 99 % are below.",
           [prom(quantile(q, "tollgate_gateway_duration_seconds"), name) for q, name in [(0.5, "half"), (0.95, "95 %"), (0.99, "99 %")]],
           "s", thresholds=[(0.01, "red")], runbook="GatewayOverheadHigh"),
    series("Bodies", "Bytes a second of request and response bodies.",
           [prom("sum(rate(tollgate_request_bytes_total[$__rate_interval]))", "requests"),
            prom("sum(rate(tollgate_response_bytes_total[$__rate_interval]))", "responses")], "Bps"),
)

ATTENTION = row(
    "Who needs attention",
    table("Error budgets", "How many times too fast each API spends its error budget: 1 is just allowed, 14.4 pages. The worst twenty.",
          prom("topk(20, tollgate:burn_rate:1h)", instant=True), width=8, links={"API": API}, hide=("Time", "__name__"),
          rename={"service": "API", "Value": "times too fast"}, runbook="ErrorBudgetBurn"),
    table("What fails, and who is to act", "Failed transactions of the chosen time by API and cause, most first.",
          sql("""
              SELECT service AS "API", error_class AS "cause",
                actor(error_class) AS "who acts", count(*) AS "transactions", max(time) AS "last"
              FROM transactions
              WHERE $__timeFilter(time) AND error_class IS NOT NULL
              GROUP BY service, error_class
              ORDER BY count(*) DESC
              LIMIT 50
          """), width=16, links={"API": API}, runbook="ErrorClassSpike"),
    table("Latest failures", "The hundred latest failed transactions. `tollgate find ID` tells the story of one.",
          sql("""
              SELECT time, service AS "API", method, path, status, error_class AS "cause", error_detail AS "detail",
                consumer, client_ip, total_us, request_id
              FROM transactions
              WHERE $__timeFilter(time) AND error_class IS NOT NULL
              ORDER BY time DESC
              LIMIT 100
          """), width=24, height=10, units={"total_us": "µs"}, links={"API": API}),
)

DASHBOARD = dashboard(
    "tollgate-overview", "Tollgate: gateway", "All APIs: traffic, errors, latency, and who is to act.", [NOW, TRAFFIC, ATTENTION]
)
