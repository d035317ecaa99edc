-- known_steps: the last that is known of each step of a subject: version $1; or index $2 where that is null, since work on
-- it was last done. What was held in a transaction that never ended, or was taken back, never was.
SELECT DISTINCT ON (s.step)
    s.step, s.digest, s.sql, s.outcome
FROM omtdb.migration_step AS s
JOIN omtdb.migration_run AS r ON r.id = s.run
WHERE r.version IS NOT DISTINCT FROM $1::int8
    AND (
        $1::int8 IS NOT NULL
        OR r.name = $2 AND r.id > coalesce((
            SELECT pg_catalog.max(d.id) FROM omtdb.migration_run AS d
            WHERE d.version IS NULL AND d.name = $2 AND d.outcome = 'done'
        ), 0)
    )
    AND s.outcome NOT IN ('forgotten', 'taken back', 'held')
ORDER BY s.step, s.run DESC
