-- order: 102
-- name: client-activity
-- title: What does an address or a network do?
-- answers: Requests from an address or a network, by address and service: how many, how many failed or were refused, and when.
-- asked-by: security and support, with an address from a firewall or a complaint
-- then: refused requests to many services look like a scan; tell the owner of the network
-- params:
--   network (text, required): an address, or a network such as 10.0.0.0/8
--   since (interval, default 1h): how far back to look
-- example: tollgate ask client-activity --network 10.0.0.0/8
SELECT client_ip,
       service,
       max(consumer) AS consumer,
       count(*) AS requests,
       sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS failed,
       sum(CASE WHEN status BETWEEN 400 AND 498 THEN 1 ELSE 0 END) AS refused,
       sum(CASE WHEN kind = 'handshake_failed' THEN 1 ELSE 0 END) AS handshakes_failed,
       sum(response_bytes) AS response_bytes,
       count(DISTINCT user_agent) AS user_agents,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM transactions
WHERE in_cidr(client_ip, $network)
  AND time >= now() - $since
GROUP BY client_ip, service
ORDER BY requests DESC, client_ip, service
LIMIT 500
