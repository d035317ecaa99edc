-- end_run: notes how a run ended.
UPDATE omtdb.migration_run
SET outcome = $2, sqlstate = $3, message = $4, ended_at = pg_catalog.clock_timestamp()
WHERE id = $1::int8
