-- statements: what each statement of this database has taken so far, by its text.
-- Needs: PostgreSQL 15+ with pg_stat_statements; others' texts only with pg_read_all_stats.
SELECT
    s.query AS query,
    sum(s.calls)::pg_catalog.float8 AS calls,
    sum(s.total_exec_time)::pg_catalog.float8 AS exec_ms,
    sum(s.rows)::pg_catalog.float8 AS rows,
    sum(s.shared_blks_hit + s.shared_blks_read)::pg_catalog.float8 AS blocks,
    sum(s.wal_bytes)::pg_catalog.float8 AS wal_bytes
FROM pg_stat_statements AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database()
GROUP BY s.query
