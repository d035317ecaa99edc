-- held: what the tables $1 (oids), their leaves and their indexes take on disk.
SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_total_relation_size(tree.relid)), 0)::int8 AS bytes
FROM unnest($1::oid[]) AS parent (oid)
CROSS JOIN LATERAL (
    SELECT relid FROM pg_catalog.pg_partition_tree(parent.oid) WHERE isleaf
    UNION SELECT parent.oid
) AS tree (relid)
