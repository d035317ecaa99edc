-- standing: the leaves of the partitioned table $1.$2 with their estimated rows (-1: never vacuumed nor analyzed), their size
-- with indexes and TOAST, and the columns of the partition key.
SELECT
    n.nspname AS schema,
    c.relname AS name,
    pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound,
    c.reltuples::float8 AS rows,
    COALESCE(pg_catalog.pg_total_relation_size(c.oid), 0) AS bytes,
    i.inhdetachpending AS detaching,
    ARRAY(
        SELECT a.attname::text
        FROM pg_catalog.pg_partitioned_table AS t
        CROSS JOIN LATERAL pg_catalog.unnest(t.partattrs::int2[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.partrelid AND a.attnum = k.number
        WHERE t.partrelid = p.oid
        ORDER BY k.place
    ) AS key
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE pn.nspname = $1::text AND p.relname = $2::text AND p.relkind = 'p'
ORDER BY c.relname
