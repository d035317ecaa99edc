-- steps: what the run $1 carried out, in the order in which it began.
SELECT
    s.step, s.sql, s.outcome,
    (s.attempts - 1)::int8 AS retries,
    coalesce(extract(epoch FROM s.ended_at - s.started_at) * 1000, 0)::float8 AS ms,
    coalesce(s.lock_wait_ms, 0)::float8 AS lock_wait_ms
FROM omtdb.migration_step AS s
WHERE s.run = $1::int8
ORDER BY s.started_at, s.step
