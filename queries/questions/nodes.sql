-- order: 153
-- name: nodes
-- title: Which proxies are there, and what do they send?
-- answers: Proxies that sent something in the last hour, with their configuration, failures and shed records.
-- asked-by: the gateway team, after a start, a change or a page
-- then: a node whose `last_seen` is minutes old is down or cut off: look at its `/readyz`
-- example: tollgate ask nodes
SELECT node_id,
       producers,
       records,
       failures,
       shed,
       config_revision,
       config_revisions,
       first_seen,
       last_seen
FROM nodes
ORDER BY node_id
LIMIT 500
