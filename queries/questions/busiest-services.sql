-- order: 45
-- name: busiest-services
-- title: Which services have the most traffic, and how fast are they?
-- answers: The 20 services with the most requests, with percentiles of their latency in milliseconds and the share that failed.
-- asked-by: the gateway team, to see where capacity goes
-- then: watch these first in an incident; a p99 far above p50 deserves `latency-percentiles`
-- params:
--   since (interval, default 1h): how far back to look
-- example: tollgate ask busiest-services --since 1d
SELECT service,
       count(*) AS requests,
       round(100.0 * sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) / count(*), 2) AS failed_percent,
       round(percentile(total_us, 0.5) / 1000.0, 2) AS p50_ms,
       round(percentile(total_us, 0.95) / 1000.0, 2) AS p95_ms,
       round(percentile(total_us, 0.99) / 1000.0, 2) AS p99_ms
FROM transactions
WHERE kind = 'transaction'
  AND service IS NOT NULL
  AND time >= now() - $since
GROUP BY service
ORDER BY requests DESC, service
LIMIT 20
