-- order: 120
-- name: handshake-failures
-- title: Whose TLS handshakes fail, and why?
-- answers: Failed handshakes by reason, name asked for, certificate and address.
-- asked-by: support, when a caller cannot connect at all
-- then: send the reason and the certificate's subject to the caller
-- params:
--   since (interval, default 15m): how far back to look
-- example: tollgate ask handshake-failures --since 1h
SELECT coalesce(auth_fail_reason, error_class) AS reason,
       error_detail,
       tls_sni,
       tls_version,
       server_port,
       mtls_verify,
       client_cert_subject,
       client_cert_issuer,
       client_ip,
       count(*) AS failed,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM transactions
WHERE kind = 'handshake_failed'
  AND time >= now() - $since
GROUP BY coalesce(auth_fail_reason, error_class), error_detail, tls_sni, tls_version, server_port, mtls_verify,
         client_cert_subject, client_cert_issuer, client_ip
ORDER BY failed DESC, last_seen DESC
LIMIT 200
