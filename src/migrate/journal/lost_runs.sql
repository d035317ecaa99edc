-- lost_runs: notes how runs ended that nobody ended: with what the history has of them ($1: its versions), or lost. Whoever
-- holds the lock is alone, so nobody is at them.
WITH ended AS (
    UPDATE omtdb.migration_run AS r
    SET outcome = CASE WHEN r.event = 'apply' AND r.version = ANY ($1::int8[]) THEN 'done' ELSE 'lost' END,
        ended_at = pg_catalog.clock_timestamp()
    WHERE r.outcome = 'running'
    RETURNING r.id, r.outcome
)
UPDATE omtdb.migration_step AS s
SET outcome = 'done'
FROM ended AS e
WHERE s.run = e.id AND e.outcome = 'done' AND s.outcome = 'held'
