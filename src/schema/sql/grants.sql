-- grants: who holds what on the schemas $1, on their tables, columns and functions, and by default on what will be created in
-- them; what an owner holds by owning is left out.
WITH spaces AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY ($1::text[])
),
relations AS (
    SELECT c.oid, s.nspname || '.' || c.relname AS name, c.relkind, c.relowner, c.relacl
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
),
held (object, owner, acl) AS (
    SELECT s.nspname::text, s.nspowner, COALESCE(s.nspacl, pg_catalog.acldefault('n', s.nspowner))
    FROM spaces AS s
    UNION ALL
    SELECT
        r.name, r.relowner,
        COALESCE(r.relacl, pg_catalog.acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))
    FROM relations AS r
    UNION ALL
    SELECT r.name || '.' || a.attname, r.relowner, a.attacl
    FROM relations AS r
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND NOT a.attisdropped
    UNION ALL
    SELECT
        f.oid::pg_catalog.regprocedure::text, f.proowner,
        COALESCE(f.proacl, pg_catalog.acldefault('f', f.proowner))
    FROM pg_catalog.pg_proc AS f
    JOIN spaces AS s ON s.oid = f.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e'
    )
    UNION ALL
    SELECT
        'default privileges of ' || pg_catalog.pg_get_userbyid(b.defaclrole) || ' on '
            || CASE b.defaclobjtype
                WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
                ELSE b.defaclobjtype::text
            END
            || ' in ' || s.nspname,
        b.defaclrole, b.defaclacl
    FROM pg_catalog.pg_default_acl AS b
    JOIN spaces AS s ON s.oid = b.defaclnamespace
),
granted AS (
    SELECT
        h.object,
        CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(e.grantee)::text END AS role,
        e.privilege_type AS privilege,
        e.is_grantable AS grantable
    FROM held AS h
    CROSS JOIN LATERAL pg_catalog.aclexplode(h.acl) AS e
    WHERE e.grantee <> h.owner
)
SELECT
    g.object, g.role, pg_catalog.array_agg(DISTINCT g.privilege COLLATE "C") AS privileges, g.grantable
FROM granted AS g
GROUP BY g.object, g.role, g.grantable
ORDER BY g.object COLLATE "C", g.role COLLATE "C", g.grantable
