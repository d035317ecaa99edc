-- lock_holder: who holds the lock of omtdb's migrations in this database; no row when nobody does.
SELECT a.pid, a.application_name, pg_catalog.host(a.client_addr) AS host
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory'
    AND l.granted
    AND l.objsubid = 1
    AND (l.classid::int8 << 32 | l.objid::int8) = $1::int8
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
