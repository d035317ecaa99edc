-- lost_runs: notes that runs which nobody ended were lost; whoever holds the lock is alone, so nobody is at them.
UPDATE omtdb.migration_run AS r
SET outcome = 'lost', ended_at = pg_catalog.clock_timestamp()
WHERE r.outcome = 'running'
