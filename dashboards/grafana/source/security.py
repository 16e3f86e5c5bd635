"""Security: who is let in and who is not, what the firewall does, TLS, handshakes and certificates."""

from .panels import dashboard, or_none, prom, row, series, sql, stat, table

RATE = "[$__rate_interval]"

NOW = row(
    "Now",
    stat("Authentications failing", "Share of the authentications that fail; requests that need none do not count.",
         prom(f'(sum(rate(tollgate_auth_total{{result="failed"}}{RATE})) or vector(0)) / (sum(rate(tollgate_auth_total{{result=~"failed|success"}}{RATE})) > 0)'
              " or vector(0)"), unit="percentunit", thresholds=[(0.1, "yellow"), (0.5, "red")], runbook="AuthMostlyFailing"),
    stat("Handshakes failing", "TLS handshakes a second that fail; these callers never get as far as a request.",
         prom(f"sum(rate(tollgate_handshake_failures_total{RATE})) or vector(0)"), unit="ops", thresholds=[(0.1, "yellow"), (5, "red")],
         runbook="HandshakeFailureSpike"),
    stat("Blocked by the firewall", "Requests a second that the web application firewall blocks.",
         prom(f'sum(rate(tollgate_waf_total{{action="blocked"}}{RATE})) or vector(0)'), unit="reqps", thresholds=[(0.5, "yellow")], runbook="WafBlockSpike"),
    stat("Refused by access rules", "Transactions a second whose caller was known and not allowed.",
         prom(f'sum(rate(tollgate_errors_total{{error_class="acl"}}{RATE})) or vector(0)'), unit="reqps"),
    stat("Next certificate to end", "Time until the next client certificate in use ends; long ago: a caller that was replaced.",
         prom("min(tollgate_client_cert_expiry_timestamp_seconds) - time()"), unit="s", runbook="ClientCertificateExpiring"),
    stat("Old TLS", "Share of the TLS transactions below version 1.3; cleartext does not count.",
         prom(f'(sum(rate(tollgate_tls_total{{version!~"_none|.*1.3"}}{RATE})) or vector(0))'
              f' / (sum(rate(tollgate_tls_total{{version!="_none"}}{RATE})) > 0) or vector(0)'),
         unit="percentunit"),
)

ACCESS = row(
    "Authentication and access",
    series("By pattern and result", "Authentication decisions a second.",
           [prom(f"sum by (pattern, result) (rate(tollgate_auth_total{RATE}))", "{{pattern}} {{result}}")], "reqps"),
    series("Why it fails", "Failed authentications a second, by reason.",
           [prom(f'sum by (pattern, reason) (rate(tollgate_auth_total{{result="failed"}}{RATE}))' + or_none("pattern"), "{{pattern}} {{reason}}")],
           "reqps", stack=True, runbook="AuthFailureSpike"),
    series("Failures by API", "Transactions that failed to authenticate or were not allowed, by API, from the table.",
           [sql("""
               SELECT $__timeGroupAlias(time, $__interval), coalesce(service, '(none)') AS metric, count(*) AS value
               FROM transactions
               WHERE $__timeFilter(time) AND error_class IN ('auth', 'acl')
               GROUP BY 1, 2
               ORDER BY 1
           """, series=True)], runbook="AuthFailureSpike"),
    table("Who fails to authenticate", "By caller and reason. Many names from one address is guessing; one name from many addresses is a leaked or rotated credential.",
          sql("""
              SELECT client_ip, coalesce(consumer, credential_id, '(unknown)') AS "credential", auth_pattern AS "pattern", auth_fail_reason AS "reason",
                count(*) AS "failures", count(DISTINCT service) AS "APIs", count(DISTINCT token_hmac) AS "different credentials", max(time) AS "last"
              FROM transactions
              WHERE $__timeFilter(time) AND auth_result = 'failed'
              GROUP BY 1, 2, 3, 4
              ORDER BY 5 DESC
              LIMIT 50
          """), width=14, runbook="AuthFailureSpike"),
    table("Not allowed", "Known callers whom the access rules refused.",
          sql("""
              SELECT consumer, service AS "API", count(*) AS "refused", max(time) AS "last"
              FROM transactions
              WHERE $__timeFilter(time) AND acl_decision = 'deny'
              GROUP BY 1, 2
              ORDER BY 3 DESC
              LIMIT 50
          """), width=10),
)

FIREWALL = row(
    "Web application firewall",
    series("Decisions", "Decisions a second. `detected` would have been blocked if the firewall blocked.",
           [prom(f"sum by (action) (rate(tollgate_waf_total{RATE}))", "{{action}}")], "reqps", width=12, stack=True, runbook="WafBlockSpike"),
    table("Rules that matched", "By rule: a rule that hits many callers of one API is a false alarm, one caller who hits many rules an attack.",
          sql("""
              SELECT rule, count(*) AS "matches", count(DISTINCT client_ip) AS "callers", count(DISTINCT service) AS "APIs", max(time) AS "last"
              FROM (SELECT time, client_ip, service, unnest(waf_rule_ids) AS rule FROM transactions WHERE $__timeFilter(time) AND waf_rule_ids IS NOT NULL)
              GROUP BY 1
              ORDER BY 2 DESC
              LIMIT 50
          """), runbook="WafBlockSpike", height=8),
)

TLS = row(
    "TLS, handshakes and certificates",
    series("Versions", "Transactions a second by TLS version; _none is cleartext.",
           [prom(f"sum by (version) (rate(tollgate_tls_total{RATE}))", "{{version}}")], "reqps", stack=True),
    series("Handshakes that fail", "By reason, seen by the proxies themselves.",
           [prom(f"sum by (reason) (rate(tollgate_proxy_handshake_failures_total{RATE}))" + or_none("reason"), "{{reason}}")],
           "ops", stack=True, runbook="HandshakeFailureSpike"),
    series("Client certificates", "TLS transactions by what became of the client's certificate, from the table.",
           [sql("""
               SELECT $__timeGroupAlias(time, $__interval), coalesce(mtls_verify, 'cleartext') AS metric, count(*) AS value
               FROM transactions
               WHERE $__timeFilter(time) AND kind <> 'gap'
               GROUP BY 1, 2
               ORDER BY 1
           """, series=True)], stack=True),
    table("Whose handshakes fail", "By address, name asked for and reason.",
          sql("""
              SELECT client_ip, tls_sni AS "asked for", error_detail AS "reason", count(*) AS "failures", max(time) AS "last"
              FROM transactions
              WHERE $__timeFilter(time) AND kind = 'handshake_failed'
              GROUP BY 1, 2, 3
              ORDER BY 4 DESC
              LIMIT 50
          """), runbook="HandshakeFailureSpike"),
    table("Certificates by the day they end", "Client certificates in use, first to end first.",
          sql("""
              SELECT client_cert_subject AS "subject", client_cert_issuer AS "issuer", client_cert_serial AS "serial", client_cert_not_after AS "ends",
                count(*) AS "transactions", max(time) AS "last used"
              FROM transactions
              WHERE $__timeFilter(time) AND client_cert_not_after IS NOT NULL
              GROUP BY 1, 2, 3, 4
              ORDER BY 4
              LIMIT 50
          """), runbook="ClientCertificateExpiring"),
    table("Name asked for and Host differ", "TLS was made for one name and the request names another: domain fronting, or a caller's mistake.",
          sql("""
              SELECT tls_sni AS "TLS name", host, client_ip, consumer, count(*) AS "transactions", max(time) AS "last"
              FROM transactions
              WHERE $__timeFilter(time) AND tls_sni IS NOT NULL AND host IS NOT NULL AND tls_sni <> split_part(host, ':', 1)
              GROUP BY 1, 2, 3, 4
              ORDER BY 5 DESC
              LIMIT 50
          """), width=24, height=7),
)

DASHBOARD = dashboard(
    "tollgate-security", "Tollgate: security", "Who is let in and who is not, the firewall, TLS, handshakes and certificates.", [NOW, ACCESS, FIREWALL, TLS]
)
