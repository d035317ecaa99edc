-- catalog: every table and index outside the system's schemas, each with the root of its partition tree.
-- Needs: PostgreSQL 15+, no special role.   Columns: partition_key is empty unless the root is partitioned.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    c.relkind IN ('i', 'I') AS is_index,
    c.relkind IN ('r', 'f') AS holds_rows,
    root_n.nspname::text AS root_schema,
    root.relname::text AS root_name,
    ARRAY(
        SELECT a.attname::text
        FROM pg_catalog.pg_partitioned_table AS p
        CROSS JOIN LATERAL pg_catalog.unnest(p.partattrs::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, ord)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum
        WHERE p.partrelid = root.oid
        ORDER BY k.ord
    ) AS partition_key,
    coalesce(i.indisvalid, true) AS valid,
    CASE WHEN i.indexrelid IS NOT NULL THEN pg_catalog.pg_get_indexdef(i.indexrelid) ELSE '' END AS definition
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS root ON root.oid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
JOIN pg_catalog.pg_namespace AS root_n ON root_n.oid = root.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'f', 'i', 'I')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg\_temp\_%'
    AND n.nspname NOT LIKE 'pg\_toast\_temp\_%'
ORDER BY schema, name;
