-- order: 118
-- name: waf-blocks-by-rule
-- title: What does the firewall block, and by which rule?
-- answers: Requests that a rule of the firewall matched, by rule and service: how many were blocked, and how many only noted.
-- asked-by: security and the team of an API, after rules changed
-- then: a rule that blocks one API's normal requests needs an exclusion; one that blocks many addresses works
-- params:
--   since (interval, default 1h): how far back to look
--   service (text, optional): one proxied API; all when left out
-- example: tollgate ask waf-blocks-by-rule --since 1d
SELECT rule,
       service,
       sum(CASE WHEN waf_action = 'blocked' THEN 1 ELSE 0 END) AS blocked,
       sum(CASE WHEN waf_action = 'detected' THEN 1 ELSE 0 END) AS noted,
       max(waf_score) AS highest_score,
       count(DISTINCT client_ip) AS clients,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM (
  SELECT unnest(coalesce(waf_rule_ids, make_array(0))) AS rule, service, waf_action, waf_score, client_ip, time, request_id
  FROM transactions
  WHERE waf_action IN ('blocked', 'detected')
    AND time >= now() - $since
    AND ($service IS NULL OR service = $service)
)
GROUP BY rule, service
ORDER BY blocked DESC, noted DESC, rule, service
LIMIT 200
