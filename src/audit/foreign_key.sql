-- foreign_key: every foreign key outside the system's schemas; of a partitioned table the one it was declared with.
-- Needs: PostgreSQL 15+, no special role.   Columns: table_rows is the planner's estimate, -1 where never analysed.
SELECT
    k.conname::text AS name,
    k.conrelid AS table_oid,
    n.nspname::text AS table_schema,
    t.relname::text AS table_name,
    t.relkind = 'p' AS partitioned,
    k.conkey AS columns,
    ARRAY(
        SELECT a.attname::text
        FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS key (attnum, ord)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.attnum
        ORDER BY key.ord
    ) AS column_names,
    fn.nspname::text AS referenced_schema,
    f.relname::text AS referenced_name,
    k.confdeltype::text AS on_delete,
    t.reltuples::pg_catalog.float8 AS table_rows
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS t ON t.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class AS f ON f.oid = k.confrelid
JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.relnamespace
WHERE k.contype = 'f'
    AND k.conparentid = 0
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY table_schema, table_name, name;
