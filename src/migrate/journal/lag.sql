-- lag: how far the slowest physical replica is behind, in milliseconds, and its name; 0 where there is none, or none that may
-- be seen. Who decodes the log is no replica that reads wait for.
SELECT
    coalesce(extract(epoch FROM r.replay_lag) * 1000, 0)::float8 AS lag_ms,
    r.application_name AS name
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_stat_replication AS r ON NOT EXISTS (
    SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'
)
ORDER BY 1 DESC
LIMIT 1
