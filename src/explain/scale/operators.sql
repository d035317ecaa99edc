-- operators: of every column, the operators and the collation that its statistics are kept by (those of the default btree class).
-- Needs: PostgreSQL 15+, a cluster of ours.
CREATE SCHEMA IF NOT EXISTS omtdb_scale;
CREATE TABLE IF NOT EXISTS omtdb_scale.operators AS
WITH operators AS (
    SELECT o.opcintype AS ty, p.amopstrategy AS strategy, p.amopopr AS operator
    FROM pg_catalog.pg_opclass AS o
    INNER JOIN pg_catalog.pg_amop AS p
        ON p.amopfamily = o.opcfamily AND p.amoplefttype = o.opcintype AND p.amoprighttype = o.opcintype
    WHERE o.opcmethod = (SELECT a.oid FROM pg_catalog.pg_am AS a WHERE a.amname = 'btree') AND o.opcdefault
)
SELECT
    c.oid AS oid,
    n.nspname::text AS schema,
    c.relname::text AS relation,
    a.attname::text AS name,
    a.attnum AS attnum,
    t.oid AS ty,
    -- Lexemes are texts.
    CASE WHEN t.oid = 'pg_catalog.tsvector'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype::oid ELSE t.typelem END AS elem,
    a.attcollation AS coll,
    coalesce(e.operator, 0) AS eq,
    coalesce(l.operator, 0) AS lt,
    coalesce(m.operator, 0) AS elem_eq
FROM pg_catalog.pg_attribute AS a
INNER JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
-- An index may store its column as another type (GIN does): its statistics are those of the expression.
LEFT JOIN pg_catalog.pg_index AS x ON x.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_opclass AS i ON i.oid = x.indclass[a.attnum - 1] AND i.opckeytype <> 0
INNER JOIN pg_catalog.pg_type AS st ON st.oid = a.atttypid
INNER JOIN pg_catalog.pg_type AS t ON t.oid = CASE
    WHEN i.opcintype = 'pg_catalog.anyarray'::pg_catalog.regtype THEN st.typarray
    ELSE coalesce(i.opcintype, a.atttypid)
END
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN t.typtype = 'd' THEN t.typbasetype
        WHEN t.oid = 'pg_catalog.varchar'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype::oid
        WHEN t.oid = 'pg_catalog.cidr'::pg_catalog.regtype THEN 'pg_catalog.inet'::pg_catalog.regtype::oid
        WHEN t.typtype = 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype
        WHEN t.typcategory = 'A' THEN 'pg_catalog.anyarray'::pg_catalog.regtype
        ELSE t.oid
    END AS ty
) AS k
LEFT JOIN operators AS e ON e.ty = k.ty AND e.strategy = 3
LEFT JOIN operators AS l ON l.ty = k.ty AND l.strategy = 1
LEFT JOIN operators AS m ON m.strategy = 3
    AND m.ty = CASE WHEN t.oid = 'pg_catalog.tsvector'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype::oid ELSE t.typelem END
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'omtdb') AND a.attnum > 0 AND NOT a.attisdropped
