-- relations: the statements that would make the tables, partitions, indexes and checks of every schema but PostgreSQL's
-- own, in an order in which each finds what it needs. Indexes of a partitioned table are made without their parts, which
-- are attached afterwards.
WITH relation AS (
    SELECT
        c.oid,
        c.relkind,
        c.relispartition,
        c.relpartbound,
        pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
),

columns AS (
    SELECT
        a.attrelid,
        pg_catalog.string_agg(
            pg_catalog.format('%I ', a.attname) || pg_catalog.format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
            ', ' ORDER BY a.attnum
        ) AS list
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attnum > 0 AND NOT a.attisdropped
    GROUP BY a.attrelid
),

statement AS (
    SELECT 1 AS step, r.oid, 'CREATE TABLE ' || r.name || ' (' || COALESCE(c.list, '') || ')'
        || COALESCE(' PARTITION BY ' || pg_catalog.pg_get_partkeydef(r.oid), '') AS sql
    FROM relation AS r
    LEFT JOIN columns AS c ON c.attrelid = r.oid
    WHERE r.relkind IN ('r', 'p', 'm')
    UNION ALL
    SELECT 2, r.oid, 'ALTER TABLE ' || p.name || ' ATTACH PARTITION ' || r.name || ' '
        || pg_catalog.pg_get_expr(r.relpartbound, r.oid)
    FROM relation AS r
    JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = r.oid
    JOIN relation AS p ON p.oid = i.inhparent
    WHERE r.relispartition AND r.relkind IN ('r', 'p') AND NOT i.inhdetachpending
    UNION ALL
    SELECT 3, r.oid, pg_catalog.pg_get_indexdef(r.oid)
    FROM relation AS r
    WHERE r.relkind IN ('i', 'I')
    UNION ALL
    SELECT 4, r.oid, 'ALTER INDEX ' || p.name || ' ATTACH PARTITION ' || r.name
    FROM relation AS r
    JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = r.oid
    JOIN relation AS p ON p.oid = i.inhparent
    WHERE r.relkind IN ('i', 'I')
    UNION ALL
    SELECT 5, r.oid, 'ALTER TABLE ONLY ' || r.name || ' ADD CONSTRAINT ' || pg_catalog.quote_ident(k.conname) || ' '
        || CASE
            WHEN k.contype = 'c' THEN pg_catalog.pg_get_constraintdef(k.oid)
            WHEN k.contype = 'p' THEN 'PRIMARY KEY USING INDEX ' || x.name
            ELSE 'UNIQUE USING INDEX ' || x.name
        END
    FROM relation AS r
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = r.oid
    LEFT JOIN relation AS x ON x.oid = k.conindid
    WHERE k.contype IN ('c', 'p', 'u')
)

SELECT s.sql AS statement
FROM statement AS s
ORDER BY s.step, s.oid
