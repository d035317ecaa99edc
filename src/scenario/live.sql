-- live: which of the partitioned tables $1 (qualified) and indexes $2 (unqualified) the database has.
SELECT CASE c.relkind WHEN 'p' THEN n.nspname || '.' || c.relname ELSE c.relname END::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'p' AND (n.nspname || '.' || c.relname)::text = ANY ($1::text[]))
   OR (c.relkind IN ('i', 'I') AND c.relname::text = ANY ($2::text[]))
