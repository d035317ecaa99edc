-- begin_run: notes the beginning of a run of $2 (a version; null for work on an index alone).
INSERT INTO omtdb.migration_run (event, version, name, digest, sql, reason, plan, os_user, host, omtdb, revision)
VALUES ($1, $2::int8, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING id
