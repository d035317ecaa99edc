-- waits: what each session of a load is waiting for at this moment; CPU where it waits for nothing.
SELECT COALESCE(wait_event_type || '/' || wait_event, 'CPU') AS wait
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND application_name = 'omtdb/generate' AND state = 'active'
  AND pid <> pg_catalog.pg_backend_pid()
