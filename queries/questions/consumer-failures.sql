-- order: 15
-- name: consumer-failures
-- title: What fails for one consumer?
-- answers: Failures of one caller by service and class of error, with who has to act and the newest request.
-- asked-by: support, when a partner calls
-- then: tell the partner what is theirs (`caller`), and take the rest to the team that `who_acts` names
-- params:
--   consumer (text, required): the caller, as authenticated
--   since (interval, default 1h): how far back to look
-- example: tollgate ask consumer-failures --consumer partner --since 1d
SELECT service,
       error_class,
       actor(error_class) AS who_acts,
       status,
       count(*) AS failed,
       max(error_detail) AS an_error,
       count(DISTINCT client_ip) AS clients,
       min(time) AS first_seen,
       max(time) AS last_seen,
       max(request_id) AS newest_request_id
FROM failures
WHERE kind = 'transaction'
  AND consumer = $consumer
  AND time >= now() - $since
GROUP BY service, error_class, status
ORDER BY failed DESC, last_seen DESC
LIMIT 200
