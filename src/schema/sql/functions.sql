-- functions: functions and procedures in the schemas $1, apart from those of an extension. Aggregates have no definition.
SELECT
    f.oid::pg_catalog.regprocedure::text AS name,
    f.prosecdef AS security_definer,
    pg_catalog.pg_get_functiondef(f.oid) AS definition
FROM pg_catalog.pg_proc AS f
JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
WHERE n.nspname = ANY ($1::text[])
    AND f.prokind <> 'a'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e'
    )
ORDER BY f.oid::pg_catalog.regprocedure::text COLLATE "C"
