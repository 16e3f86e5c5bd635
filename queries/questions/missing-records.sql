-- name: missing-records
-- title: Is any record missing?
-- answers: Each producer: records, those it shed and said so, and holes in its numbering that nothing explains. A hole younger than a minute is a request still under way, or a batch still on its way.
-- params:
--   since (interval, default 1h): how far back to look
-- example: tollgate ask missing-records --since 1d
SELECT producer,
       sum(CASE WHEN kind = 'gap' THEN 0 ELSE 1 END) AS records,
       sum(CASE WHEN kind = 'gap' THEN gap_count ELSE 0 END) AS shed,
       max(gap_reason) AS shed_because,
       sum(hole) AS missing,
       sum(CASE WHEN next_time < now() - INTERVAL '1 minute' THEN hole ELSE 0 END) AS missing_over_a_minute,
       sum(CASE WHEN hole > 0 THEN 1 ELSE 0 END) AS holes,
       min(CASE WHEN hole > 0 THEN last_seq + 1 END) AS first_missing_seq,
       min(CASE WHEN hole > 0 THEN time END) AS first_missing_after,
       count(*) - count(DISTINCT seq) AS doubles,
       min(seq) AS from_seq,
       max(last_seq) AS to_seq,
       max(time) AS last_seen
FROM (
  SELECT producer, kind, seq, time, gap_count, gap_reason, last_seq, next_time,
         CASE WHEN next_seq - last_seq > 1 THEN next_seq - last_seq - 1 ELSE 0 END AS hole
  FROM (
    SELECT producer, kind, seq, time, gap_count, gap_reason,
           seq + coalesce(gap_count, 1) - 1 AS last_seq,
           lead(seq) OVER (PARTITION BY producer ORDER BY seq) AS next_seq,
           lead(time) OVER (PARTITION BY producer ORDER BY seq) AS next_time
    FROM transactions
    WHERE time >= now() - $since
  )
)
GROUP BY producer
ORDER BY missing_over_a_minute DESC, missing DESC, shed DESC, producer
LIMIT 500
