-- order: 46
-- name: service-timeline
-- title: How did a service fare over time?
-- answers: Requests, failures and latency of one service, by five minutes.
-- asked-by: support, to see when trouble began and whether it is over
-- then: the first bad line is the time to compare with releases and with `config-revisions`
-- params:
--   service (text, required): the proxied API
--   since (interval, default 3h): how far back to look
-- example: tollgate ask service-timeline --service members --since 6h
SELECT date_bin(INTERVAL '5 minutes', time) AS five_minutes,
       count(*) AS requests,
       sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS failed,
       sum(CASE WHEN status BETWEEN 400 AND 498 THEN 1 ELSE 0 END) AS refused,
       sum(CASE WHEN status = 499 THEN 1 ELSE 0 END) AS client_left,
       round(percentile(total_us, 0.5) / 1000.0, 2) AS p50_ms,
       round(percentile(total_us, 0.99) / 1000.0, 2) AS p99_ms
FROM transactions
WHERE kind = 'transaction'
  AND service = $service
  AND time >= now() - $since
GROUP BY date_bin(INTERVAL '5 minutes', time)
ORDER BY five_minutes DESC
LIMIT 2016
