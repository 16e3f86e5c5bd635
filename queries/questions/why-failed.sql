-- order: 10
-- name: why-failed
-- title: Why did requests to a service fail?
-- answers: Each way of failing, most frequent first: who is to act, what the error says, who ended it, and one request id to look into.
-- asked-by: support, when a caller says that requests to an API fail
-- then: call whoever `who_acts` names; open `newest_request_id` with `tollgate find`
-- params:
--   service (text, required): the proxied API
--   since (interval, default 15m): how far back to look
-- example: tollgate ask why-failed --service members --since 1h
SELECT error_class,
       CASE
         WHEN error_class = 'client_abort' THEN 'caller left; see its latency'
         ELSE coalesce(actor(error_class), 'gateway team')
       END AS who_acts,
       status,
       upstream_status,
       response_source,
       termination,
       error_detail,
       count(*) AS requests,
       count(DISTINCT client_ip) AS clients,
       min(time) AS first_seen,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE kind = 'transaction'
  AND service = $service
  AND time >= now() - $since
  AND (error_class IS NOT NULL OR status >= 500)
GROUP BY error_class, status, upstream_status, response_source, termination, error_detail
ORDER BY requests DESC, last_seen DESC
LIMIT 100
