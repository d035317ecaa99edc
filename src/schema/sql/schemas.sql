-- schemas: which of the named schemas ($1) there are.
SELECT n.nspname AS name
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = ANY ($1::text[])
ORDER BY n.nspname
