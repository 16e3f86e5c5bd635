-- order: 60
-- name: slowest-transactions
-- title: Which requests were slowest?
-- answers: Single requests, slowest first, with where their time went.
-- asked-by: support, with a complaint about single requests
-- then: give `request_id` and the times to the team of the API
-- params:
--   service (text, optional): one proxied API; all when left out
--   since (interval, default 15m): how far back to look
-- example: tollgate ask slowest-transactions --service members
SELECT request_id,
       time,
       service,
       method,
       path,
       status,
       error_class,
       termination,
       round(total_us / 1000.0, 2) AS total_ms,
       round(gateway_us / 1000.0, 3) AS gateway_ms,
       round(upstream_connect_us / 1000.0, 2) AS connect_ms,
       round(upstream_ttfb_us / 1000.0, 2) AS first_byte_ms,
       round(upstream_receive_us / 1000.0, 2) AS receive_ms,
       upstream_addr,
       upstream_attempts,
       response_bytes,
       consumer,
       client_ip
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
  AND ($service IS NULL OR service = $service)
ORDER BY total_us DESC NULLS LAST, request_id
LIMIT 50
