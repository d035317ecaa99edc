-- sweep: how far the walk over a table's keys has come for step $2 of version $1.
SELECT s.last_key, s.changed, s.batches, s.batch
FROM omtdb.migration_sweep AS s
WHERE s.version = $1::int8 AND s.step = $2 AND s.digest = $3
