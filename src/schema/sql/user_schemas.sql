-- user_schemas: every schema that is neither PostgreSQL's nor omtdb's own.
SELECT n.nspname AS name
FROM pg_catalog.pg_namespace AS n
WHERE NOT pg_catalog.starts_with(n.nspname::text, 'pg_') AND n.nspname NOT IN ('information_schema', 'omtdb')
ORDER BY n.nspname
