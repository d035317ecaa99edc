-- extensions: which of the named extensions ($1) are installed, and where.
SELECT e.extname AS name, n.nspname AS schema
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = ANY ($1::text[])
ORDER BY e.extname
