-- lock: takes the lock of omtdb's migrations in this database if it is free. Never waits.
SELECT pg_catalog.pg_try_advisory_lock($1::int8) AS taken
