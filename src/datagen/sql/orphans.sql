-- orphans: sessions of generators in this database that are at work, besides this one.
SELECT pg_catalog.count(*) AS orphans
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND application_name = 'omtdb/generate'
  AND state <> 'idle' AND pid <> pg_catalog.pg_backend_pid()
