-- order: 130
-- name: tls-posture
-- title: With which TLS do callers come?
-- answers: Requests by TLS version, cipher and client certificate; cleartext and names that differ from the host stand out. The numbers of clients and consumers are estimates, within 2 %.
-- asked-by: security, before an old version of TLS is switched off
-- then: find the callers of the old version with `who-calls`
-- params:
--   since (interval, default 1h): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask tls-posture --since 1d
SELECT coalesce(tls_version, 'cleartext') AS tls_version,
       tls_cipher,
       http_version,
       mtls_verify,
       count(*) AS requests,
       round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS percent,
       round(100.0 * sum(CASE WHEN tls_resumed THEN 1 ELSE 0 END) / count(*), 1) AS resumed_percent,
       sum(CASE WHEN tls_sni IS NOT NULL AND host IS NOT NULL AND lower(tls_sni) <> lower(split_part(host, ':', 1)) THEN 1 ELSE 0 END) AS sni_differs_from_host,
       approx_distinct(client_ip) AS about_clients,
       approx_distinct(consumer) AS about_consumers
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
  AND ($service IS NULL OR service = $service)
GROUP BY coalesce(tls_version, 'cleartext'), tls_cipher, http_version, mtls_verify
ORDER BY requests DESC, tls_version, tls_cipher
LIMIT 200
