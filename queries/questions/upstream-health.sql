-- order: 80
-- name: upstream-health
-- title: How are the upstreams?
-- answers: Each upstream address: requests, failures by kind, connections reused, and its times.
-- asked-by: support, when an API fails now and then
-- then: an address that stands out is one bad instance: tell the team of the API which
-- params:
--   since (interval, default 15m): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask upstream-health --since 30m
SELECT service,
       upstream_host,
       upstream_addr,
       count(*) AS requests,
       sum(CASE WHEN error_class IN ('connect_refused', 'connect_timeout', 'dns', 'no_healthy_upstream') THEN 1 ELSE 0 END) AS unreachable,
       sum(CASE WHEN error_class = 'upstream_tls' THEN 1 ELSE 0 END) AS tls_failed,
       sum(CASE WHEN error_class = 'upstream_timeout' THEN 1 ELSE 0 END) AS timed_out,
       sum(CASE WHEN error_class IN ('upstream_reset', 'upstream_protocol') THEN 1 ELSE 0 END) AS broken_off,
       sum(CASE WHEN upstream_status >= 500 THEN 1 ELSE 0 END) AS answered_5xx,
       sum(CASE WHEN upstream_attempts > 1 THEN 1 ELSE 0 END) AS retried,
       round(100.0 * sum(CASE WHEN upstream_reused THEN 1 ELSE 0 END) / count(*), 1) AS reused_percent,
       round(percentile(upstream_connect_us, 0.99) / 1000.0, 2) AS connect_p99_ms,
       round(percentile(upstream_ttfb_us, 0.99) / 1000.0, 2) AS first_byte_p99_ms,
       max(error_detail) AS an_error
FROM transactions
WHERE kind = 'transaction'
  AND upstream_attempts > 0
  AND time >= now() - $since
  AND ($service IS NULL OR service = $service)
GROUP BY service, upstream_host, upstream_addr
ORDER BY unreachable + tls_failed + timed_out + broken_off + answered_5xx DESC, requests DESC, service, upstream_addr
LIMIT 200
