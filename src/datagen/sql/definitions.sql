-- definitions: keys, indexes and foreign keys of the tables $1 (oids), and foreign keys of others that point at them;
-- foreign keys first, because keys cannot be dropped before them.
SELECT CASE WHEN c.contype = 'f' THEN 'foreign key' ELSE 'key' END AS kind,
       n.nspname AS schema_name, t.relname AS table_name, c.conname AS name,
       pg_catalog.pg_get_constraintdef(c.oid) AS body
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
WHERE c.conparentid = 0
  AND (c.contype IN ('p', 'u', 'x') AND c.conrelid = ANY ($1)
       OR c.contype = 'f' AND (c.conrelid = ANY ($1) OR c.confrelid = ANY ($1)))
UNION ALL
SELECT CASE WHEN i.indisunique THEN 'unique index' ELSE 'index' END,
       n.nspname, t.relname, x.relname,
       pg_catalog.substr(d.text, pg_catalog.strpos(d.text, ' USING '))
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(i.indexrelid) AS d (text)
WHERE i.indrelid = ANY ($1)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
ORDER BY kind, schema_name, table_name, name
