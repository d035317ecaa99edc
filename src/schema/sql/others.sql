-- others: objects in the schemas $1 of kinds that the plan has none of, apart from what belongs to an extension, to
-- another object, or to the server itself.
WITH spaces AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY ($1::text[])
),
found (kind, name, classid, objid) AS (
    SELECT
        CASE c.relkind
            WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
            WHEN 'f' THEN 'foreign table' ELSE 'composite type'
        END,
        s.nspname || '.' || c.relname, 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm', 'S', 'f', 'c')
    UNION ALL
    SELECT
        CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
        f.oid::pg_catalog.regprocedure::text, 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid
    FROM pg_catalog.pg_proc AS f
    JOIN spaces AS s ON s.oid = f.pronamespace
    UNION ALL
    SELECT
        CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type' ELSE 'type' END,
        s.nspname || '.' || t.typname, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid
    FROM pg_catalog.pg_type AS t
    JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE t.typtype IN ('d', 'r') OR (t.typtype = 'b' AND t.typelem = 0)
    UNION ALL
    SELECT
        'trigger', s.nspname || '.' || c.relname || '.' || g.tgname, 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid
    FROM pg_catalog.pg_trigger AS g
    JOIN pg_catalog.pg_class AS c ON c.oid = g.tgrelid
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT
        'rule', s.nspname || '.' || c.relname || '.' || r.rulename, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid
    FROM pg_catalog.pg_rewrite AS r
    JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT
        'row security policy', s.nspname || '.' || c.relname || '.' || y.polname,
        'pg_catalog.pg_policy'::pg_catalog.regclass, y.oid
    FROM pg_catalog.pg_policy AS y
    JOIN pg_catalog.pg_class AS c ON c.oid = y.polrelid
    JOIN spaces AS s ON s.oid = c.relnamespace
    UNION ALL
    SELECT 'statistics', s.nspname || '.' || x.stxname, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, x.oid
    FROM pg_catalog.pg_statistic_ext AS x
    JOIN spaces AS s ON s.oid = x.stxnamespace
)
SELECT f.kind, f.name
FROM found AS f
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = f.classid AND d.objid = f.objid AND d.deptype IN ('e', 'i')
)
ORDER BY f.kind, f.name
