-- order: 100
-- name: who-calls
-- title: Who calls a service?
-- answers: Consumers, certificates and addresses that called, how they authenticated, and how it went.
-- asked-by: the team of an API, before a change that breaks something
-- then: write to the consumers with the most requests
-- params:
--   service (text, required): the proxied API
--   since (interval, default 1h): how far back to look
-- example: tollgate ask who-calls --service members --since 1d
SELECT consumer,
       auth_pattern,
       client_cert_subject,
       client_cert_sha256,
       client_ip,
       count(*) AS requests,
       sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS failed,
       max(user_agent) AS a_user_agent,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM transactions
WHERE kind = 'transaction'
  AND service = $service
  AND time >= now() - $since
GROUP BY consumer, auth_pattern, client_cert_subject, client_cert_sha256, client_ip
ORDER BY requests DESC, consumer, client_ip
LIMIT 500
