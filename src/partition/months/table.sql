-- table: what is to be known of the table $1.$2, which is partitioned by range, to build a leaf for it: its key, columns that
-- can be inserted, foreign keys and owner; and the month that it is now.
SELECT
    p.oid,
    ARRAY(
        SELECT a.attname::text
        FROM pg_catalog.unnest(t.partattrs::int2[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.oid AND a.attnum = k.number
        WHERE a.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype AND t.partnatts = 1
        ORDER BY k.place
    ) AS key,
    ARRAY(
        SELECT a.attname::text
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY a.attnum
    ) AS columns,
    ARRAY(
        SELECT k.conname::text
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = p.oid AND k.contype = 'f' AND k.conparentid = 0
        ORDER BY k.oid
    ) AS foreign_keys,
    ARRAY(
        SELECT pg_catalog.pg_get_constraintdef(k.oid)
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = p.oid AND k.contype = 'f' AND k.conparentid = 0
        ORDER BY k.oid
    ) AS definitions,
    pg_catalog.pg_get_userbyid(p.relowner)::text AS owner,
    p.relowner = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = CURRENT_USER) AS owned,
    pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM') AS this_month
FROM pg_catalog.pg_class AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
JOIN pg_catalog.pg_partitioned_table AS t ON t.partrelid = p.oid
WHERE n.nspname = $1::text AND p.relname = $2::text AND t.partstrat = 'r'
