-- load_settings: what slows a load down, in MB, kB, seconds or words, and what ALTER SYSTEM set before. Needs a superuser.
SELECT s.name, s.setting AS value, f.setting AS own
FROM pg_catalog.pg_settings AS s
LEFT JOIN pg_catalog.pg_file_settings AS f ON f.name = s.name AND f.sourcefile LIKE '%/postgresql.auto.conf'
WHERE s.name IN ('max_wal_size', 'checkpoint_timeout', 'maintenance_work_mem', 'autovacuum', 'wal_level')
ORDER BY s.name
