-- forget_steps: has the next run of version $1 begin anew, walks over tables included.
WITH walks AS (DELETE FROM omtdb.migration_sweep AS w WHERE w.version = $1::int8)
UPDATE omtdb.migration_step AS s
SET outcome = 'forgotten'
FROM omtdb.migration_run AS r
WHERE r.id = s.run AND r.version = $1::int8 AND s.outcome <> 'forgotten'
