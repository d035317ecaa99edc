-- constraints: checks, keys and exclusions of tables and leaves in the schemas $1. NOT NULL, which PostgreSQL 18 keeps as
-- a constraint too, belongs to the columns.
SELECT
    k.conrelid AS relation,
    k.conname AS name,
    pg_catalog.pg_get_constraintdef(k.oid) AS definition,
    k.convalidated AND COALESCE(i.indisvalid AND i.indisready, TRUE) AS valid,
    ARRAY(SELECT o.option FROM pg_catalog.unnest(x.reloptions) AS o (option) ORDER BY o.option) AS options
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
WHERE n.nspname = ANY ($1::text[]) AND k.contype IN ('c', 'p', 'u', 'f', 'x')
ORDER BY k.conrelid, k.conname
