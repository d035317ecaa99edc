-- partition_tree: every partitioned table outside the system's schemas and every partition below it, parents first.
-- Needs: PostgreSQL 15+, no special role.
SELECT
    root.oid AS root_oid,
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    p.parentrelid::pg_catalog.oid AS parent_oid,
    p.isleaf AS is_leaf
FROM pg_catalog.pg_class AS root
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = root.relnamespace
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(root.oid) AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE root.relkind = 'p'
    AND NOT root.relispartition
    AND rn.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY root_oid, p.level, schema, name;
