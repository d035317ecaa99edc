-- standing_indexes: for each leaf of the partitioned table $1.$2 and each index of the table, keys among them, the leaf's
-- part of it: without a name where the leaf has none attached.
SELECT
    l.relname AS leaf,
    pc.relname AS part_of,
    lc.relname AS name,
    COALESCE(li.indisvalid AND li.indisready AND li.indislive, FALSE) AS valid
FROM pg_catalog.pg_class AS p
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
JOIN pg_catalog.pg_inherits AS h ON h.inhparent = p.oid
JOIN pg_catalog.pg_class AS l ON l.oid = h.inhrelid
JOIN pg_catalog.pg_index AS pi ON pi.indrelid = p.oid
JOIN pg_catalog.pg_class AS pc ON pc.oid = pi.indexrelid
LEFT JOIN (
    pg_catalog.pg_index AS li
    JOIN pg_catalog.pg_inherits AS ih ON ih.inhrelid = li.indexrelid
    JOIN pg_catalog.pg_class AS lc ON lc.oid = li.indexrelid
) ON ih.inhparent = pi.indexrelid AND li.indrelid = l.oid
WHERE pn.nspname = $1::text AND p.relname = $2::text AND p.relkind = 'p'
ORDER BY l.relname, pc.relname
