-- tables: tables and leaves in the schemas $1. A leaf has a bound and a parent. One whose concurrent detaching was begun
-- is none any more: new queries no longer see its rows.
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END AS persistence,
    CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
    CASE WHEN i.inhparent IS NOT NULL THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS bound,
    i.inhparent AS parent
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition AND NOT i.inhdetachpending
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p')
ORDER BY n.nspname, c.relname
