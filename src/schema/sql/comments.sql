-- comments: comments on the schemas $1 and on what is in them, apart from what belongs to an extension.
WITH spaces AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY ($1::text[])
),
relations AS (
    SELECT c.oid, s.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
),
known (object, classid, objid, subid) AS (
    SELECT s.nspname::text, 'pg_catalog.pg_namespace'::pg_catalog.regclass, s.oid, 0 FROM spaces AS s
    UNION ALL
    SELECT r.name, 'pg_catalog.pg_class'::pg_catalog.regclass, r.oid, 0 FROM relations AS r
    UNION ALL
    SELECT r.name || '.' || a.attname, 'pg_catalog.pg_class'::pg_catalog.regclass, r.oid, a.attnum
    FROM relations AS r
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0
    UNION ALL
    SELECT r.name || '.' || k.conname, 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0
    FROM relations AS r
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = r.oid
    UNION ALL
    SELECT r.name || '.' || g.tgname, 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid, 0
    FROM relations AS r
    JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid
    UNION ALL
    SELECT s.nspname || '.' || t.typname, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0
    FROM pg_catalog.pg_type AS t
    JOIN spaces AS s ON s.oid = t.typnamespace
    UNION ALL
    SELECT f.oid::pg_catalog.regprocedure::text, 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid, 0
    FROM pg_catalog.pg_proc AS f
    JOIN spaces AS s ON s.oid = f.pronamespace
)
SELECT k.object, d.description AS text
FROM known AS k
JOIN pg_catalog.pg_description AS d ON d.classoid = k.classid AND d.objoid = k.objid AND d.objsubid = k.subid
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid = k.classid AND e.objid = k.objid AND e.deptype = 'e'
)
ORDER BY k.object COLLATE "C", d.description COLLATE "C"
