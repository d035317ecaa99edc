-- owners: who owns the schemas $1, and what of their tables, functions and types.
WITH spaces AS (
    SELECT n.oid, n.nspname, n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY ($1::text[])
),
owned (object, owner) AS (
    SELECT s.nspname::text, s.nspowner FROM spaces AS s
    UNION ALL
    SELECT s.nspname || '.' || c.relname, c.relowner
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT s.nspname || '.' || t.typname, t.typowner
    FROM pg_catalog.pg_type AS t
    JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE t.typtype = 'e'
    UNION ALL
    SELECT f.oid::pg_catalog.regprocedure::text, f.proowner
    FROM pg_catalog.pg_proc AS f
    JOIN spaces AS s ON s.oid = f.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e'
    )
)
SELECT o.object, pg_catalog.pg_get_userbyid(o.owner)::text AS role
FROM owned AS o
ORDER BY o.object COLLATE "C"
