-- keep: notes that what was done in a transaction lasts.
UPDATE omtdb.migration_step SET outcome = 'done' WHERE run = $1::int8 AND outcome = 'held'
