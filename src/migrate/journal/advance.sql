-- advance: notes, with the batch's own changes, how far the walk has come.
INSERT INTO omtdb.migration_sweep AS s (version, step, digest, last_key, changed, batches, batch)
VALUES ($1::int8, $2, $3, $4, $5::int8, 1, $6::int4)
ON CONFLICT (version, step) DO UPDATE
SET digest = excluded.digest,
    last_key = excluded.last_key,
    changed = CASE WHEN s.digest = excluded.digest THEN s.changed ELSE 0 END + excluded.changed,
    batches = CASE WHEN s.digest = excluded.digest THEN s.batches ELSE 0 END + 1,
    batch = excluded.batch,
    updated_at = pg_catalog.clock_timestamp()
