-- index: every index outside the system's schemas with what tells two apart, how big it is and how often it is scanned.
-- Needs: PostgreSQL 15+, no special role.   Columns: size_bytes, scans and entries_read are sums over the index's leaves.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    i.indrelid AS table_oid,
    tn.nspname::text AS table_schema,
    t.relname::text AS table_name,
    c.relkind = 'I' AS partitioned,
    am.amname::text AS method,
    i.indnkeyatts AS key_count,
    i.indkey::pg_catalog.int2[] AS columns,
    ARRAY(
        SELECT pg_catalog.pg_get_indexdef(c.oid, k::pg_catalog.int4, true)
        FROM pg_catalog.generate_series(1, i.indnatts) AS k
        ORDER BY k
    ) AS column_texts,
    i.indclass::pg_catalog.oid[] AS operator_classes,
    i.indcollation::pg_catalog.oid[] AS collations,
    i.indoption::pg_catalog.int2[] AS options,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
    i.indisunique AS is_unique,
    i.indisprimary AS is_primary,
    i.indnullsnotdistinct AS nulls_not_distinct,
    i.indisexclusion AS is_exclusion,
    i.indisreplident AS is_replica_identity,
    i.indisclustered AS is_clustered,
    i.indisvalid AND i.indisready AND i.indislive AS is_usable,
    i.indisvalid AS is_valid,
    EXISTS (
        SELECT FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid
    ) AS being_built,
    EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = c.oid) AS serves_constraint,
    inh.inhparent AS parent_oid,
    pg_catalog.pg_get_indexdef(c.oid) AS definition,
    tree.size_bytes,
    tree.scans,
    tree.entries_read
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
LEFT JOIN pg_catalog.pg_inherits AS inh ON inh.inhrelid = c.oid
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(pg_catalog.pg_relation_size(leaf.oid)), 0)::pg_catalog.int8 AS size_bytes,
        coalesce(sum(pg_catalog.pg_stat_get_numscans(leaf.oid)), 0)::pg_catalog.int8 AS scans,
        coalesce(sum(pg_catalog.pg_stat_get_tuples_returned(leaf.oid)), 0)::pg_catalog.int8 AS entries_read
    FROM (
        SELECT p.relid::pg_catalog.oid AS oid FROM pg_catalog.pg_partition_tree(c.oid) AS p WHERE p.isleaf
        UNION SELECT c.oid WHERE c.relkind = 'i'
    ) AS leaf
) AS tree
WHERE tn.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND tn.nspname NOT LIKE 'pg\_temp\_%'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
    )
ORDER BY table_schema, table_name, name;
