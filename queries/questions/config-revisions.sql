-- order: 155
-- name: config-revisions
-- title: Which configuration runs where, and does it fail more?
-- answers: Nodes by the revision of their configuration, with when it was in use and the share that failed.
-- asked-by: the gateway team, during and after a change of the configuration
-- then: two revisions long after a change: a node did not take it; more failures under the new one: go back
-- params:
--   since (interval, default 3h): how far back to look
-- example: tollgate ask config-revisions --since 1d
SELECT config_revision,
       node_id,
       count(*) AS requests,
       round(100.0 * sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) / count(*), 2) AS failed_percent,
       count(DISTINCT producer) AS producers,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM transactions
WHERE kind = 'transaction'
  AND time >= now() - $since
GROUP BY config_revision, node_id
ORDER BY last_seen DESC, config_revision, node_id
LIMIT 500
