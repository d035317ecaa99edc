-- orphans: sessions of earlier runs that are still at a step, though nobody waits for them any more. When a session began is
-- hidden from who may not see it; then the process alone says so.
SELECT s.backend_pid AS pid, s.step, r.name
FROM omtdb.migration_step AS s
JOIN omtdb.migration_run AS r ON r.id = s.run
JOIN pg_catalog.pg_stat_activity AS a
    ON a.pid = s.backend_pid
    AND a.datname = pg_catalog.current_database()
    AND a.application_name LIKE 'omtdb/%'
    AND a.backend_start IS NOT DISTINCT FROM s.backend_start
WHERE s.outcome NOT IN ('done', 'forgotten')
LIMIT 1
