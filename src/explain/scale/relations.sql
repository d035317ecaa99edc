-- relations: every table, leaf and index of users' schemas: its file, its size, and the table that it stands for.
-- Needs: PostgreSQL 15+, a database that was vacuumed and analyzed.
WITH RECURSIVE root AS (
    SELECT c.oid AS oid, c.oid AS root
    FROM pg_catalog.pg_class AS c
    WHERE NOT c.relispartition AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT i.inhrelid, r.root
    FROM root AS r
    INNER JOIN pg_catalog.pg_inherits AS i ON i.inhparent = r.oid
)
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    CASE WHEN am.amname = 'btree' THEN 'b' ELSE c.relkind::text END AS kind,
    -- Leaves of one table are filled alike, and so are their indexes on the same columns.
    pg_catalog.concat_ws(
        ' ', rn.nspname, rc.relname, x.indkey, pg_catalog.pg_get_expr(x.indexprs, x.indrelid), pg_catalog.pg_get_expr(x.indpred, x.indrelid)
    ) AS alike,
    coalesce(t.relname, c.relname)::text AS owner,
    rn.nspname::text AS root_schema,
    rc.relname::text AS root_name,
    pg_catalog.pg_relation_filepath(c.oid) AS path,
    c.relpages::pg_catalog.int8 AS pages,
    c.reltuples::pg_catalog.float8 AS rows,
    coalesce(t.reltuples, c.reltuples)::pg_catalog.float8 AS owner_rows,
    c.relallvisible::pg_catalog.int8 AS visible
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS x ON x.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
LEFT JOIN pg_catalog.pg_am AS am ON am.oid = c.relam AND c.relkind = 'i'
INNER JOIN root AS r ON r.oid = coalesce(x.indrelid, c.oid)
INNER JOIN pg_catalog.pg_class AS rc ON rc.oid = r.root
INNER JOIN pg_catalog.pg_namespace AS rn ON rn.oid = rc.relnamespace
WHERE c.relkind IN ('r', 'p', 'i') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'omtdb', 'omtdb_scale')
