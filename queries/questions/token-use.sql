-- order: 114
-- name: token-use
-- title: Where was one credential used?
-- answers: Uses of one credential by address, consumer and service. `token_hmac('the credential')` in SQL gives its hash.
-- asked-by: security, when a credential may be leaked
-- then: an address that is not the caller's confirms it: revoke the credential, and ask `client-activity` of the address
-- params:
--   token_hmac (text, required): the keyed hash of the credential, 64 lower-case hexadecimal digits
--   since (interval, default 1d): how far back to look
-- example: tollgate ask token-use --token_hmac 0303030303030303030303030303030303030303030303030303030303030303
SELECT client_ip,
       consumer,
       service,
       auth_result,
       count(*) AS requests,
       count(DISTINCT user_agent) AS user_agents,
       max(user_agent) AS a_user_agent,
       min(time) AS first_seen,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE token_hmac = $token_hmac
  AND time >= now() - $since
GROUP BY client_ip, consumer, service, auth_result
ORDER BY requests DESC, last_seen DESC
LIMIT 500
