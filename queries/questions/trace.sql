-- order: 160
-- name: trace
-- title: What happened in one trace?
-- answers: All requests of a trace that passed the gate, in order of time.
-- asked-by: support, with a trace id from another team
-- then: the first request with an error is where the trace went wrong
-- params:
--   trace_id (text, required): the W3C trace id, 32 lower-case hexadecimal digits
--   since (interval, default 7d): how far back to look
-- example: tollgate ask trace --trace_id 4bf92f3577b34da6a3ce929d0e0e4736
SELECT time,
       request_id,
       span_id,
       service,
       method,
       path,
       status,
       error_class,
       error_detail,
       round(total_us / 1000.0, 2) AS total_ms,
       upstream_addr,
       consumer,
       node_id
FROM transactions
WHERE trace_id = $trace_id
  AND time >= now() - $since
ORDER BY time, request_id
LIMIT 1000
