-- order: 152
-- name: completeness-by-producer
-- title: Do the records of each producer add up?
-- answers: Each producer's lowest and highest number, its records, what it shed, and how many numbers that leaves open. `missing-records` says which.
-- asked-by: auditors and the gateway team, over long times
-- then: a number in `open` that does not go away within a quarter of an hour: ask `missing-records`
-- params:
--   since (interval, default 1h): how far back to look
-- example: tollgate ask completeness-by-producer --since 1d
SELECT producer,
       node_id,
       min(seq) AS from_seq,
       max(seq) AS to_seq,
       sum(CASE WHEN kind = 'gap' THEN 0 ELSE 1 END) AS records,
       sum(CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) ELSE 0 END) AS shed,
       greatest(max(seq) - min(seq) + 1 - sum(CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) ELSE 1 END), 0) AS open,
       max(time) AS last_seen
FROM transactions
WHERE time >= now() - $since
GROUP BY producer, node_id
ORDER BY open DESC, shed DESC, producer
LIMIT 500
