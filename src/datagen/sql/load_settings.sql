-- load_settings: what slows a load down, in MB, kB, seconds or words.
SELECT name, setting AS value
FROM pg_catalog.pg_settings
WHERE name IN ('max_wal_size', 'checkpoint_timeout', 'maintenance_work_mem', 'autovacuum', 'wal_level')
ORDER BY name
