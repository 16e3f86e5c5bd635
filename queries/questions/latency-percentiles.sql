-- order: 50
-- name: latency-percentiles
-- title: How slow is a service, and where is the time spent?
-- answers: Percentiles in milliseconds of the whole, of the gateway's own part, and of each wait for the upstream, by route.
-- asked-by: the team of an API that is called slow
-- then: a high `first_byte` is the API's, a high `gateway` is ours, a high `receive` is the client's or the network's
-- params:
--   service (text, required): the proxied API
--   since (interval, default 15m): how far back to look
-- example: tollgate ask latency-percentiles --service members
SELECT coalesce(http_route, route) AS route,
       count(*) AS requests,
       round(percentile(total_us, 0.5) / 1000.0, 2) AS p50_ms,
       round(percentile(total_us, 0.9) / 1000.0, 2) AS p90_ms,
       round(percentile(total_us, 0.99) / 1000.0, 2) AS p99_ms,
       round(max(total_us) / 1000.0, 2) AS max_ms,
       round(percentile(gateway_us, 0.99) / 1000.0, 3) AS gateway_p99_ms,
       round(percentile(upstream_connect_us, 0.99) / 1000.0, 2) AS connect_p99_ms,
       round(percentile(upstream_tls_us, 0.99) / 1000.0, 2) AS upstream_tls_p99_ms,
       round(percentile(upstream_ttfb_us, 0.99) / 1000.0, 2) AS first_byte_p99_ms,
       round(percentile(upstream_receive_us, 0.99) / 1000.0, 2) AS receive_p99_ms
FROM transactions
WHERE kind = 'transaction'
  AND service = $service
  AND time >= now() - $since
GROUP BY coalesce(http_route, route)
ORDER BY requests DESC, route
LIMIT 200
