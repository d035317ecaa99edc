-- groups: the columns whose values become more as tables grow: foreign keys, and those of which the planner says so.
-- Needs: PostgreSQL 15+, a database that was analyzed.
SELECT
    n.nspname::text AS schema,
    c.relname::text AS relation,
    a.attname::text AS "column",
    s.stainherit AS inherited
FROM pg_catalog.pg_statistic AS s
INNER JOIN pg_catalog.pg_class AS c ON c.oid = s.starelid
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = s.staattnum
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'omtdb', 'omtdb_scale') AND c.relkind IN ('r', 'p')
    AND (
        -- Close to one value a row is a key, and stays one.
        (s.stadistinct < 0 AND s.stadistinct > -0.99 * (1 - s.stanullfrac))
        OR EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS k
            WHERE k.contype = 'f' AND k.conrelid = c.oid AND k.conkey = ARRAY[s.staattnum]
        )
    )
