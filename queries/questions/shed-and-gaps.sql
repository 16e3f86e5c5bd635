-- order: 154
-- name: shed-and-gaps
-- title: Which records were shed, and why?
-- answers: Records that a proxy shed on purpose, by node and reason.
-- asked-by: the gateway team, at the alert for shed records
-- then: `spool_full` and `buffer_full`: the collector was away too long or is too slow; give the spool more room
-- params:
--   since (interval, default 1d): how far back to look
-- example: tollgate ask shed-and-gaps --since 7d
SELECT node_id,
       gap_reason,
       count(*) AS gaps,
       sum(records) AS records,
       count(DISTINCT producer) AS producers,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM gaps
WHERE time >= now() - $since
GROUP BY node_id, gap_reason
ORDER BY records DESC, node_id, gap_reason
LIMIT 200
