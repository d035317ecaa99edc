-- logical: rules that the server enforces as rows are written and never looks at again.
-- Needs: PostgreSQL 15+, no special role. One row a rule: what it is, on which table, and what identifies its breaches.
-- foreign key: key columns, table referred to and its columns; unique: key columns of one leaf; leaf: its bound as a
-- condition.
WITH tables AS (
    SELECT c.oid, c.relkind, c.relispartition, n.nspname, c.relname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p')
)
SELECT 'foreign key' AS rule, k.conname::text AS name, t.nspname::text AS schema, t.relname::text AS table,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place)
        FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
       rn.nspname::text AS other_schema, r.relname::text AS other_table,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place)
        FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS other_columns,
       NULL AS condition
FROM pg_catalog.pg_constraint AS k
JOIN tables AS t ON t.oid = k.conrelid
JOIN pg_catalog.pg_class AS r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0
    -- PERIOD of 18 is not compared by equality.
    AND (pg_catalog.to_jsonb(k) ->> 'conperiod') IS DISTINCT FROM 'true'
UNION ALL
SELECT 'unique', i.indexrelid::pg_catalog.regclass::text, t.nspname, t.relname,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place)
        FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
        WHERE u.place <= i.indnkeyatts), NULL, NULL, NULL, NULL
FROM pg_catalog.pg_index AS i
JOIN tables AS t ON t.oid = i.indrelid
WHERE i.indisunique AND i.indisvalid AND i.indexprs IS NULL AND i.indpred IS NULL AND t.relkind = 'r'
UNION ALL
SELECT 'leaf', t.relname, t.nspname, t.relname, '{}', NULL, NULL, NULL,
       pg_catalog.pg_get_partition_constraintdef(t.oid)
FROM tables AS t
WHERE t.relispartition AND t.relkind = 'r' AND pg_catalog.pg_get_partition_constraintdef(t.oid) IS NOT NULL
ORDER BY 1, 3, 4, 2
