-- tables: tables and leaves in the schemas $1. A leaf has a bound and a parent, also while its concurrent detaching is
-- pending.
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END AS persistence,
    CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
    CASE WHEN i.inhparent IS NOT NULL THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS bound,
    i.inhparent AS parent,
    COALESCE(i.inhdetachpending, FALSE) AS detaching,
    ARRAY(
        SELECT o.option FROM pg_catalog.unnest(c.reloptions) AS o (option)
        UNION ALL
        SELECT 'toast.' || o.option
        FROM pg_catalog.pg_class AS t, pg_catalog.unnest(t.reloptions) AS o (option)
        WHERE t.oid = c.reltoastrelid
        ORDER BY option
    ) AS options,
    CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index' END AS replica_identity,
    NULLIF(
        pg_catalog.concat_ws(
            ', ',
            CASE WHEN c.relrowsecurity THEN 'enabled' END,
            CASE WHEN c.relforcerowsecurity THEN 'forced' END
        ),
        ''
    ) AS row_security
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p')
ORDER BY n.nspname, c.relname
