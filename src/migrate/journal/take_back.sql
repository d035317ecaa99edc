-- take_back: notes that what was done in a transaction did not last.
UPDATE omtdb.migration_step SET outcome = 'taken back' WHERE run = $1::int8 AND outcome = 'held'
