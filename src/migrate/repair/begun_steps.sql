-- begun_steps: the last that is known of each step of version $1, in the order in which they began; of a walk, the rows that
-- it has changed.
SELECT k.step, k.outcome, k.sql, w.changed
FROM (
    SELECT DISTINCT ON (s.step) s.step, s.outcome, s.sql, s.started_at
    FROM omtdb.migration_step AS s
    JOIN omtdb.migration_run AS r ON r.id = s.run
    WHERE r.version = $1::int8 AND s.outcome <> 'forgotten'
    ORDER BY s.step, s.run DESC
) AS k
LEFT JOIN omtdb.migration_sweep AS w ON w.version = $1::int8 AND w.step = k.step
ORDER BY k.started_at, k.step
