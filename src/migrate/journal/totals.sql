-- totals: what a run's steps come to.
SELECT
    pg_catalog.count(*) AS steps,
    coalesce(pg_catalog.sum(s.attempts - 1), 0)::int8 AS retries,
    coalesce(pg_catalog.sum(s.lock_wait_ms), 0)::float8 AS lock_wait_ms,
    coalesce(pg_catalog.max(s.longest_lock_wait_ms), 0)::float8 AS longest_lock_wait_ms,
    coalesce(pg_catalog.sum(s.wal_bytes), 0)::int8 AS wal_bytes
FROM omtdb.migration_step AS s
WHERE s.run = $1::int8
