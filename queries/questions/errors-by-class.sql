-- order: 20
-- name: errors-by-class
-- title: Which errors are there, and how many?
-- answers: Failed requests and their share, by class of error and service.
-- asked-by: support and the gateway team, at the start of an incident
-- then: take the class on top to its page: one service means its team, many services mean the gateway or the network
-- params:
--   service (text, optional): one proxied API; all when left out
--   since (interval, default 15m): how far back to look
-- example: tollgate ask errors-by-class --since 1h
SELECT error_class,
       service,
       count(*) AS failed,
       round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS percent_of_failed,
       count(DISTINCT consumer) AS consumers,
       max(error_detail) AS an_error,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE time >= now() - $since
  AND error_class IS NOT NULL
  AND ($service IS NULL OR service = $service)
GROUP BY error_class, service
ORDER BY failed DESC, error_class, service
LIMIT 200
