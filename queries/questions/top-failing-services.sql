-- order: 30
-- name: top-failing-services
-- title: Which services fail most?
-- answers: Requests, failures on the side of the API or the gateway, and their share, by service.
-- asked-by: the gateway team, in the morning or at a page
-- then: ask `why-failed` of the first service
-- params:
--   since (interval, default 15m): how far back to look
-- example: tollgate ask top-failing-services --since 1h
SELECT coalesce(service, '(no route)') AS service,
       max(app_id) AS app_id,
       count(*) AS requests,
       sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS failed,
       round(100.0 * sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) / count(*), 2) AS failed_percent,
       sum(CASE WHEN status BETWEEN 400 AND 498 THEN 1 ELSE 0 END) AS refused,
       sum(CASE WHEN status = 499 THEN 1 ELSE 0 END) AS client_left,
       max(time) FILTER (WHERE status >= 500) AS last_failure
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
GROUP BY coalesce(service, '(no route)')
HAVING sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) > 0
ORDER BY failed DESC, refused DESC, service
LIMIT 50
