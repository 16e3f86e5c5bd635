-- order: 82
-- name: slow-upstream-connects
-- title: Which upstreams are slow to connect to?
-- answers: Upstream addresses by the 99th percentile of the TCP connect, with TLS, the resolver, and attempts that failed.
-- asked-by: support, when an API is slow only on new connections
-- then: a slow connect is the network or a full listen queue: give address and time to the team of the API
-- params:
--   since (interval, default 15m): how far back to look
-- example: tollgate ask slow-upstream-connects --since 1h
SELECT service,
       upstream_addr,
       count(upstream_connect_us) AS connects,
       sum(CASE WHEN starts_with(error_class, 'connect_') THEN 1 ELSE 0 END) AS failed,
       round(percentile(upstream_connect_us, 0.5) / 1000.0, 2) AS connect_p50_ms,
       round(percentile(upstream_connect_us, 0.99) / 1000.0, 2) AS connect_p99_ms,
       round(percentile(upstream_tls_us, 0.99) / 1000.0, 2) AS tls_p99_ms,
       round(percentile(upstream_dns_us, 0.99) / 1000.0, 2) AS resolver_p99_ms,
       max(time) AS last_seen
FROM transactions
WHERE kind = 'transaction'
  AND (upstream_connect_us IS NOT NULL OR starts_with(error_class, 'connect_'))
  AND time >= now() - $since
GROUP BY service, upstream_addr
ORDER BY connect_p99_ms DESC NULLS LAST, failed DESC, service, upstream_addr
LIMIT 100
