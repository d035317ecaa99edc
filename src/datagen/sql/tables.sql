-- tables: oid and kind of each table among $1 (qualified names) that exists.
SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind = 'p' AS partitioned
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'p')
