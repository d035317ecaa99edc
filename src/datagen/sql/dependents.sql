-- dependents: tables outside $1 (oids) whose foreign keys point at a table of $1: they cannot keep their rows.
SELECT DISTINCT n.nspname AS schema_name, t.relname AS name
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = ANY ($1) AND c.conrelid <> ALL ($1)
  AND NOT t.relispartition
ORDER BY schema_name, name
