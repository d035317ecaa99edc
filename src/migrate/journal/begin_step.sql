-- begin_step: notes that a step begins, or begins again, in session $5.
INSERT INTO omtdb.migration_step AS s (run, step, digest, sql, backend_pid, backend_start, attempts)
VALUES (
    $1::int8, $2, $3, $4, $5::int4,
    (SELECT a.backend_start FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = $5::int4),
    1
)
ON CONFLICT (run, step) DO UPDATE
SET attempts = s.attempts + 1, outcome = 'running', sqlstate = NULL, message = NULL, ended_at = NULL,
    backend_pid = excluded.backend_pid, backend_start = excluded.backend_start
