-- end_step: notes how a step ended; lock waits add up over its attempts. The log is the whole server's meanwhile. A step whose
-- own transaction has committed that it is done stays done, though its session was lost before it could say so.
UPDATE omtdb.migration_step AS s
SET outcome = $3,
    sqlstate = $4,
    message = $5,
    lock_wait_ms = coalesce(s.lock_wait_ms, 0) + $6::float8,
    longest_lock_wait_ms = greatest(s.longest_lock_wait_ms, $7::float8),
    blockers = CASE WHEN pg_catalog.cardinality($8::text[]) > 0 THEN $8::text[] ELSE s.blockers END,
    ended_at = pg_catalog.clock_timestamp(),
    wal_bytes = pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), s.wal_from)::int8
WHERE s.run = $1::int8 AND s.step = $2 AND (s.outcome <> 'done' OR $3 = 'done')
