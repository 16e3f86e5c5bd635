-- order: 35
-- name: error-classes-by-service
-- title: What goes wrong at each service, and who has to act?
-- answers: Failures by service and class of error, with who has to act, and how many of the service's requests that is.
-- asked-by: the gateway team, to hand failures to their owners
-- then: send each service's lines to its team; those of `gateway team` are ours
-- params:
--   since (interval, default 1h): how far back to look
-- example: tollgate ask error-classes-by-service --since 1d
SELECT coalesce(service, '(no route)') AS service,
       coalesce(error_class, '(none)') AS error_class,
       actor(error_class) AS who_acts,
       requests,
       round(100.0 * requests / all_requests, 2) AS percent_of_service,
       last_seen
FROM (
  SELECT service,
         error_class,
         count(*) AS requests,
         sum(count(*)) OVER (PARTITION BY service) AS all_requests,
         max(time) AS last_seen
  FROM transactions
  WHERE kind = 'transaction'
    AND time >= now() - $since
  GROUP BY service, error_class
)
WHERE error_class IS NOT NULL
ORDER BY requests DESC, service, error_class
LIMIT 500
