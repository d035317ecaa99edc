-- orphans: sessions of earlier runs that are still at a step, though nobody waits for them any more.
SELECT s.backend_pid AS pid, s.step, r.name
FROM omtdb.migration_step AS s
JOIN omtdb.migration_run AS r ON r.id = s.run
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.backend_pid AND a.backend_start = s.backend_start
WHERE s.outcome = 'running'
LIMIT 1
