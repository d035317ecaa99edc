-- sizes: what there is of each relation called $1 (quoted names): kind, leaves, rows by its statistics, size in bytes.
SELECT
    q.name,
    c.relkind::text AS kind,
    l.leaves,
    CASE WHEN l.leaves = 0 THEN c.reltuples::float8 ELSE l.rows END AS rows,
    CASE WHEN l.leaves = 0 THEN pg_catalog.pg_total_relation_size(c.oid) ELSE l.bytes END AS bytes,
    i.indrelid::regclass::text AS table_name
FROM pg_catalog.unnest($1::text[]) AS q (name)
JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(q.name)
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
CROSS JOIN LATERAL (
    SELECT
        pg_catalog.count(*) AS leaves,
        coalesce(pg_catalog.sum(greatest(lc.reltuples, 0)), 0)::float8 AS rows,
        coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(lc.oid)), 0)::int8 AS bytes
    FROM pg_catalog.pg_inherits AS h
    JOIN pg_catalog.pg_class AS lc ON lc.oid = h.inhrelid
    WHERE h.inhparent = c.oid
) AS l
