-- counters: what the server has done so far, by name.
-- Needs: PostgreSQL 15+, no special role.
SELECT c.name AS name, c.value::pg_catalog.float8 AS value
FROM pg_catalog.pg_stat_database AS d
CROSS JOIN pg_catalog.pg_stat_wal AS w
CROSS JOIN (
    SELECT sum(t.autovacuum_count) AS vacuums, sum(t.autoanalyze_count) AS analyzes FROM pg_catalog.pg_stat_all_tables AS t
) AS a
CROSS JOIN LATERAL (
    VALUES
        ('transactions_committed', d.xact_commit::pg_catalog.numeric),
        ('transactions_rolled_back', d.xact_rollback),
        ('blocks_hit', d.blks_hit),
        ('blocks_read', d.blks_read),
        ('rows_returned', d.tup_returned),
        ('rows_fetched', d.tup_fetched),
        ('rows_inserted', d.tup_inserted),
        ('rows_updated', d.tup_updated),
        ('rows_deleted', d.tup_deleted),
        ('temp_files', d.temp_files),
        ('temp_bytes', d.temp_bytes),
        ('deadlocks', d.deadlocks),
        ('wal_records', w.wal_records),
        ('wal_full_page_images', w.wal_fpi),
        ('wal_bytes', w.wal_bytes),
        ('autovacuums', a.vacuums),
        ('autoanalyzes', a.analyzes)
) AS c (name, value)
WHERE d.datname = pg_catalog.current_database()
