-- order: 150
-- name: missing-records
-- title: Is any record missing?
-- answers: Each producer: records, those it shed and said so, and numbers that nothing accounts for. Such a number is missing when a later request of its producer began over eleven minutes ago, as no transaction but a tunnel takes longer; until then it is open, for its request or its batch may be under way.
-- asked-by: the gateway team and auditors
-- then: a number that is missing is a defect: run `tollgate audit`, and keep the journal
-- params:
--   since (interval, default 1h): how far back to look
--   producer (text, optional): one producer, or the beginning of its name such as edge-1/; all when left out
-- example: tollgate ask missing-records --since 1d
SELECT producer,
       get_field(account, 'rows') AS records,
       seq_count(get_field(account, 'gaps')) AS shed,
       shed_because,
       seq_count(missing) AS missing,
       seq_text(missing) AS missing_seqs,
       seq_count(holes) - seq_count(missing) AS open,
       cardinality(holes) AS holes,
       get_field(account, 'rows') - seq_count(get_field(account, 'runs')) AS doubles,
       seq_text(get_field(account, 'doubled')) AS doubled_seqs,
       from_seq,
       to_seq,
       last_seen
FROM (
  SELECT producer, account, shed_because, from_seq, to_seq, last_seen,
         seq_holes(account, from_seq, to_seq) AS holes,
         seq_holes(account, from_seq, least(settled_seq, to_seq)) AS missing
  FROM (
    SELECT producer, account, shed_because, to_seq, settled_seq, last_seen,
           CASE WHEN producer_start(producer) >= now() - $since THEN 1 ELSE first_seq END AS from_seq
    FROM (
      SELECT producer,
             seq_account(seq, kind, gap_count, gap_reason) AS account,
             max(gap_reason) AS shed_because,
             coalesce(min(CASE WHEN kind <> 'gap' AND time >= now() - $since THEN seq END), min(CASE WHEN time >= now() - $since THEN seq END)) AS first_seq,
             max(CASE WHEN time >= now() - $since THEN seq + CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) - 1 ELSE 0 END END) AS to_seq,
             coalesce(max(CASE WHEN time < now() - INTERVAL '11 minutes' THEN seq + CASE WHEN kind = 'gap' THEN coalesce(gap_count, 1) - 1 ELSE 0 END END), -1) AS settled_seq,
             max(time) AS last_seen
      FROM transactions
      WHERE time >= now() - $since - INTERVAL '10 minutes'
        AND ($producer IS NULL OR starts_with(producer, $producer))
      GROUP BY producer
    )
  )
  WHERE to_seq IS NOT NULL
)
ORDER BY missing DESC, doubles DESC, open DESC, shed DESC, producer
LIMIT 500
