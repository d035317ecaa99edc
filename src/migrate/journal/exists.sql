-- exists: whether the journal's schema and tables are there, and what of them belongs to somebody whom this role need not
-- trust: to neither itself, nor a role that it is a member of, nor a superuser.
SELECT
    n.nspname IS NOT NULL AS schema_there,
    pg_catalog.count(c.oid) = 3 AS there,
    (
        SELECT pg_catalog.string_agg(DISTINCT o.rolname::text, ', ')
        FROM pg_catalog.pg_roles AS o
        WHERE (o.oid = n.nspowner OR o.oid = ANY (pg_catalog.array_agg(c.relowner)))
            AND NOT o.rolsuper
            AND NOT pg_catalog.pg_has_role(o.oid, 'MEMBER')
    ) AS strangers
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = 'omtdb'
LEFT JOIN pg_catalog.pg_class AS c
    ON c.relnamespace = n.oid
    AND c.relkind = 'r'
    AND c.relname IN ('migration_run', 'migration_step', 'migration_sweep')
GROUP BY n.nspname, n.nspowner
