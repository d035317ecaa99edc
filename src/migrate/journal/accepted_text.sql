-- accepted_text: the name and text with which version $1 was last applied, adopted or accepted.
SELECT r.name, r.sql
FROM omtdb.migration_run AS r
WHERE r.version = $1::int8 AND r.outcome = 'done' AND r.event IN ('apply', 'baseline', 'repair')
ORDER BY r.id DESC
LIMIT 1
