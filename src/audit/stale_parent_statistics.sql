-- stale_parent_statistics: of every partitioned table, its own statistics and what its leaves say.
-- Needs: PostgreSQL 15+; readable says whether pg_stats shows this role the table's columns.
-- Columns: rows are the planner's estimates, -1 where never analysed; leaf_rows counts analysed leaves only.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    c.reltuples::pg_catalog.float8 AS parent_rows,
    leaves.rows AS leaf_rows,
    leaves.unknown AS unknown_leaves,
    leaves.filled AS filled_leaves,
    EXISTS (
        SELECT FROM pg_catalog.pg_stats AS s
        WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.inherited
    ) AS has_inherited,
    pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(leaf.reltuples) FILTER (WHERE leaf.reltuples >= 0), 0)::pg_catalog.float8 AS rows,
        count(*) FILTER (WHERE leaf.reltuples < 0 AND pg_catalog.pg_relation_size(leaf.oid) > 0) AS unknown,
        count(*) FILTER (WHERE pg_catalog.pg_relation_size(leaf.oid) > 0) AS filled
    FROM pg_catalog.pg_partition_tree(c.oid) AS p
    JOIN pg_catalog.pg_class AS leaf ON leaf.oid = p.relid
    WHERE p.isleaf
) AS leaves
WHERE c.relkind = 'p'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY schema, name;
