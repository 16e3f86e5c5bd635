-- order: 110
-- name: auth-failures
-- title: Who fails to authenticate, or is not allowed?
-- answers: Refused callers by reason, credential and address; many addresses or credentials in one line deserve a look.
-- asked-by: security and support, when a caller is locked out or guesses
-- then: tell one caller which credential fails; many addresses on one credential: treat it as leaked
-- params:
--   since (interval, default 15m): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask auth-failures --since 1h
SELECT service,
       error_class,
       auth_pattern,
       auth_fail_reason,
       acl_decision,
       consumer,
       client_ip,
       count(*) AS refused,
       count(DISTINCT token_hmac) AS credentials_tried,
       max(error_detail) AS an_error,
       min(time) AS first_seen,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
  AND (auth_result = 'failed' OR acl_decision = 'deny' OR error_class IN ('auth', 'acl'))
  AND ($service IS NULL OR service = $service)
GROUP BY service, error_class, auth_pattern, auth_fail_reason, acl_decision, consumer, client_ip
ORDER BY refused DESC, last_seen DESC
LIMIT 200
