-- table_leaves: the leaves of table $1.$2, which is its own where it is not partitioned; largest first.
SELECT n.nspname AS schema_name, c.relname AS name, p.relkind = 'p' AS partitioned
FROM pg_catalog.pg_class AS p
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(p.oid) AS tree
JOIN pg_catalog.pg_class AS c ON c.oid = COALESCE(tree.relid, p.oid)
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE pn.nspname = $1::text AND p.relname = $2::text AND tree.isleaf
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, c.relname
