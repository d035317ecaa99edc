-- tables: oid and kind of each table among $1 (qualified names) that exists, and a leaf of it that is no ordinary table.
SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind = 'p' AS partitioned,
       (SELECT pg_catalog.min(l.relname::text) FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS l ON l.oid = i.inhrelid
        WHERE i.inhparent = c.oid AND l.relkind <> 'r') AS odd_leaf
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'p')
