-- order: 40
-- name: traffic-by-status
-- title: How much traffic is there, and with which status?
-- answers: Requests, bytes and latency, by service and class of status (499: the client left).
-- asked-by: the team of an API, after a release
-- then: compare with the time before: a new class of status needs `why-failed`
-- params:
--   since (interval, default 15m): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask traffic-by-status --since 1h
SELECT coalesce(service, '(no route)') AS service,
       CASE WHEN status = 499 THEN '499' ELSE concat(CAST(status / 100 AS TEXT), 'xx') END AS status_class,
       count(*) AS requests,
       round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS percent,
       sum(request_bytes) AS request_bytes,
       sum(response_bytes) AS response_bytes,
       round(avg(total_us) / 1000.0, 2) AS mean_ms
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
  AND ($service IS NULL OR service = $service)
GROUP BY coalesce(service, '(no route)'), CASE WHEN status = 499 THEN '499' ELSE concat(CAST(status / 100 AS TEXT), 'xx') END
ORDER BY requests DESC, service, status_class
LIMIT 500
