-- watch: what the session $1 waits for, and who keeps it waiting; for a build of an index also how far it is.
SELECT
    (extract(epoch FROM pg_catalog.clock_timestamp() - l.waitstart) * 1000)::float8 AS waited_ms,
    l.waitstart::text AS since,
    b.pid AS blocker,
    coalesce(a.application_name, '') AS application,
    coalesce(a.usename::text, '') AS db_user,
    coalesce(a.state, a.backend_type, '') AS state,
    coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::float8 AS transaction_s,
    coalesce(pg_catalog.left(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 80), '') AS query,
    p.phase,
    p.blocks_done,
    p.blocks_total,
    p.tuples_done,
    p.tuples_total
FROM (SELECT $1::int4 AS pid) AS me
LEFT JOIN LATERAL (
    SELECT w.waitstart FROM pg_catalog.pg_locks AS w WHERE w.pid = me.pid AND NOT w.granted LIMIT 1
) AS l ON TRUE
LEFT JOIN LATERAL pg_catalog.unnest(
    CASE WHEN l.waitstart IS NOT NULL THEN pg_catalog.pg_blocking_pids(me.pid) END
) AS b (pid) ON TRUE
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
LEFT JOIN pg_catalog.pg_stat_progress_create_index AS p ON p.pid = me.pid
