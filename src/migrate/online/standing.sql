-- standing: the table $1 and its leaves, each with each of its indexes (null where it has none).
SELECT
    c.oid AS relation,
    n.nspname AS schema,
    c.relname AS name,
    c.relkind = 'p' AS divided,
    t.leaf,
    i.indexrelid AS index_oid,
    x.relname AS index_name,
    i.indisvalid AND i.indisready AND i.indislive AS valid,
    pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
    u.inhparent AS part_of
FROM (
    SELECT $1::oid AS oid, FALSE AS leaf
    UNION ALL
    SELECT h.inhrelid, TRUE FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = $1::oid AND NOT h.inhdetachpending
) AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
LEFT JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_inherits AS u ON u.inhrelid = i.indexrelid
ORDER BY t.leaf, n.nspname, c.relname, x.relname
