-- order: 90
-- name: client-aborts
-- title: Who gave up waiting, and after how long?
-- answers: Requests whose client left before the end, by service and consumer, with how long they had waited.
-- asked-by: the team of an API, when callers report timeouts
-- then: compare the wait with the caller's timeout: one of them has to change
-- params:
--   since (interval, default 15m): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask client-aborts --since 1h
SELECT service,
       coalesce(http_route, route) AS route,
       consumer,
       count(*) AS aborted,
       round(percentile(total_us, 0.5) / 1000.0, 1) AS waited_p50_ms,
       round(max(total_us) / 1000.0, 1) AS waited_max_ms,
       sum(CASE WHEN upstream_ttfb_us IS NULL THEN 1 ELSE 0 END) AS before_first_byte,
       count(DISTINCT client_ip) AS clients,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE kind = 'transaction'
  AND (error_class = 'client_abort' OR termination = 'client')
  AND time >= now() - $since
  AND ($service IS NULL OR service = $service)
GROUP BY service, coalesce(http_route, route), consumer
ORDER BY aborted DESC, service, route, consumer
LIMIT 200
