-- order: 142
-- name: certificate-inventory
-- title: Which client certificates are in use?
-- answers: Client certificates by their hash, with consumer, services, requests, and when each expires.
-- asked-by: security, before an authority or a certificate is replaced
-- then: a certificate that is not seen any more can be withdrawn; one issued by an old authority needs a new one
-- params:
--   since (interval, default 1d): how far back to look
-- example: tollgate ask certificate-inventory --since 7d
SELECT client_cert_sha256,
       client_cert_subject,
       client_cert_issuer,
       client_cert_serial,
       min(client_cert_not_after) AS expires,
       max(consumer) AS consumer,
       count(DISTINCT service) AS services,
       count(*) AS requests,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM transactions
WHERE client_cert_sha256 IS NOT NULL
  AND time >= now() - $since
GROUP BY client_cert_sha256, client_cert_subject, client_cert_issuer, client_cert_serial
ORDER BY requests DESC, client_cert_sha256
LIMIT 1000
