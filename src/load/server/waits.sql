-- waits: what the sessions of the load do at this moment, and for which statement; those on the processor wait for nothing.
-- Needs: PostgreSQL 15+; another role's sessions only with pg_read_all_stats.
SELECT a.query AS query, coalesce(a.wait_event_type || ':' || a.wait_event, 'on CPU') AS event, pg_catalog.count(*) AS sessions
FROM pg_catalog.pg_stat_activity AS a
WHERE a.application_name = $1 AND a.state = 'active' AND a.pid <> pg_catalog.pg_backend_pid() AND a.datname = pg_catalog.current_database()
GROUP BY 1, 2
