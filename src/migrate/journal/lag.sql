-- lag: how far the slowest replica is behind, in milliseconds; 0 where there is none, or none that may be seen.
SELECT coalesce(pg_catalog.max(extract(epoch FROM r.replay_lag) * 1000), 0)::float8 AS lag_ms
FROM pg_catalog.pg_stat_replication AS r
