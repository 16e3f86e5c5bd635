-- order: 140
-- name: expiring-certificates
-- title: Which callers' certificates run out soon?
-- answers: Client certificates seen lately that expire within so many days, soonest first; negative days have expired.
-- asked-by: support, every Monday
-- then: write to the consumers in the list before the day comes
-- params:
--   days (integer, default 30): certificates that expire within so many days
--   since (interval, default 1d): how far back to look for certificates in use
-- example: tollgate ask expiring-certificates --days 14
SELECT client_cert_subject,
       client_cert_issuer,
       client_cert_serial,
       client_cert_sha256,
       min(client_cert_not_after) AS client_cert_not_after,
       CAST(floor((extract(epoch FROM min(client_cert_not_after)) - extract(epoch FROM now())) / 86400) AS BIGINT) AS days_left,
       max(consumer) AS consumer,
       max(service) AS a_service,
       count(*) AS requests,
       max(time) AS last_seen
FROM transactions
WHERE client_cert_not_after IS NOT NULL
  AND time >= now() - $since
  AND extract(epoch FROM client_cert_not_after) < extract(epoch FROM now()) + 86400 * $days
GROUP BY client_cert_subject, client_cert_issuer, client_cert_serial, client_cert_sha256
ORDER BY days_left, client_cert_subject, client_cert_sha256
LIMIT 500
