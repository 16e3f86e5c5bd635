-- order: 70
-- name: slowest-routes
-- title: Which routes are slowest?
-- answers: Routes by the 99th percentile of their latency, with the gateway's own part beside it.
-- asked-by: the gateway team, once a week
-- then: show the teams of the first routes their first byte
-- params:
--   since (interval, default 15m): how far back to look
-- example: tollgate ask slowest-routes --since 1h
SELECT service,
       coalesce(http_route, route) AS route,
       count(*) AS requests,
       round(percentile(total_us, 0.5) / 1000.0, 2) AS p50_ms,
       round(percentile(total_us, 0.99) / 1000.0, 2) AS p99_ms,
       round(percentile(gateway_us, 0.99) / 1000.0, 3) AS gateway_p99_ms,
       round(percentile(upstream_ttfb_us, 0.99) / 1000.0, 2) AS first_byte_p99_ms
FROM transactions
WHERE kind = 'transaction'
  AND service IS NOT NULL
  AND time >= now() - $since
GROUP BY service, coalesce(http_route, route)
ORDER BY p99_ms DESC NULLS LAST, service, route
LIMIT 50
