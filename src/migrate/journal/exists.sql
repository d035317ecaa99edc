-- exists: whether the journal's tables are there.
SELECT pg_catalog.count(*) = 3 AS there
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'omtdb' AND c.relname IN ('migration_run', 'migration_step', 'migration_sweep')
