-- index: an index by its name ($1): its schema, its table, and the constraint that it serves.
-- Needs: PostgreSQL 15+, no special role.
SELECT n.nspname::text AS schema, t.relname::text AS owner, k.conname::text AS "constraint"
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
INNER JOIN pg_catalog.pg_index AS x ON x.indexrelid = c.oid
INNER JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = c.oid AND k.contype IN ('p', 'u')
WHERE c.relname = $1 AND c.relkind IN ('i', 'I') AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
