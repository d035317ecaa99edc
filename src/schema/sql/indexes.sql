-- indexes: indexes of tables and leaves in the schemas $1 that serve no constraint, with the partitioned index that each
-- is a part of.
SELECT
    i.indrelid AS relation,
    c.relname AS name,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
    i.indisvalid AND i.indisready AND i.indislive AS valid,
    ARRAY(SELECT o.option FROM pg_catalog.unnest(c.reloptions) AS o (option) ORDER BY o.option) AS options,
    p.relname AS parent
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = i.indexrelid
LEFT JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
WHERE n.nspname = ANY ($1::text[])
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k
        WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    )
ORDER BY i.indrelid, c.relname
