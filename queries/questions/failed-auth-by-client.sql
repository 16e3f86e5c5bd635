-- order: 112
-- name: failed-auth-by-client
-- title: Which addresses fail to authenticate most?
-- answers: Client addresses by failed authentications, with how many credentials and consumers each tried.
-- asked-by: security, when somebody may be guessing
-- then: many credentials from one address: block it, and look at it with `client-activity`
-- params:
--   since (interval, default 1h): how far back to look
-- example: tollgate ask failed-auth-by-client --since 1d
SELECT client_ip,
       count(*) AS failed,
       count(DISTINCT token_hmac) AS credentials_tried,
       count(DISTINCT consumer) AS consumers,
       count(DISTINCT service) AS services,
       max(auth_fail_reason) AS a_reason,
       min(time) AS first_seen,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE auth_result = 'failed'
  AND time >= now() - $since
GROUP BY client_ip
ORDER BY failed DESC, client_ip
LIMIT 100
