-- sizes: rows, as the planner has them, and bytes on disk of every table and partition outside PostgreSQL's own schemas.
SELECT
    n.nspname AS schema,
    c.relname AS name,
    c.reltuples::float8 AS rows,
    COALESCE(pg_catalog.pg_relation_size(c.oid), 0) AS bytes
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2
