-- facts: what is to be known of the index $1 (quoted, qualified) before it is rebuilt or dropped; no row where there is none.
SELECT
    n.nspname || '.' || t.relname AS table_name,
    i.indisreplident AS identity,
    pg_catalog.pg_relation_size(c.oid) + coalesce((
        SELECT pg_catalog.sum(pg_catalog.pg_relation_size(p.relid))
        FROM pg_catalog.pg_partition_tree(c.oid) AS p
        WHERE p.relid <> c.oid
    ), 0)::int8 AS bytes,
    (
        SELECT k.conname
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
        LIMIT 1
    ) AS rule,
    (
        SELECT k.conname || ' of ' || k.conrelid::pg_catalog.regclass::text
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conindid = c.oid AND k.contype = 'f'
        ORDER BY 1
        LIMIT 1
    ) AS foreign_key,
    (
        SELECT s.nspname || '.' || x.relname
        FROM pg_catalog.pg_inherits AS h
        JOIN pg_catalog.pg_class AS x ON x.oid = h.inhparent
        JOIN pg_catalog.pg_namespace AS s ON s.oid = x.relnamespace
        WHERE h.inhrelid = c.oid
    ) AS parent
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1)
