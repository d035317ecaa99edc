-- others: objects in the schemas $1 of kinds that the plan has none of, apart from what belongs to an extension, to
-- another object, or to the server itself, with their definition where PostgreSQL prints one.
WITH spaces AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY ($1::text[])
),
found (kind, name, classid, objid, definition) AS (
    SELECT
        CASE c.relkind
            WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
            WHEN 'f' THEN 'foreign table' ELSE 'composite type'
        END,
        s.nspname || '.' || c.relname, 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid,
        CASE
            WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid)
            WHEN c.relkind = 'S' THEN (SELECT q::text FROM pg_catalog.pg_sequence AS q WHERE q.seqrelid = c.oid)
            ELSE (
                SELECT pg_catalog.string_agg(
                    a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum
                )
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            )
        END
    FROM pg_catalog.pg_class AS c
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm', 'S', 'f', 'c')
    UNION ALL
    SELECT
        'aggregate', f.oid::pg_catalog.regprocedure::text, 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid, NULL
    FROM pg_catalog.pg_proc AS f
    JOIN spaces AS s ON s.oid = f.pronamespace
    WHERE f.prokind = 'a'
    UNION ALL
    SELECT
        CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type' ELSE 'type' END,
        s.nspname || '.' || t.typname, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid,
        CASE WHEN t.typtype = 'd' THEN pg_catalog.concat_ws(
            ' ', pg_catalog.format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'NOT NULL' END,
            'DEFAULT ' || t.typdefault,
            (
                SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                FROM pg_catalog.pg_constraint AS k
                WHERE k.contypid = t.oid
            )
        ) END
    FROM pg_catalog.pg_type AS t
    JOIN spaces AS s ON s.oid = t.typnamespace
    WHERE t.typtype IN ('d', 'r') OR (t.typtype = 'b' AND t.typelem = 0)
    UNION ALL
    SELECT
        'rule', s.nspname || '.' || c.relname || '.' || r.rulename, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid,
        pg_catalog.pg_get_ruledef(r.oid)
    FROM pg_catalog.pg_rewrite AS r
    JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
    JOIN spaces AS s ON s.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT
        'row security policy', s.nspname || '.' || c.relname || '.' || y.polname,
        'pg_catalog.pg_policy'::pg_catalog.regclass, y.oid,
        pg_catalog.concat_ws(
            ' ', y.polcmd, y.polpermissive, y.polroles,
            'USING ' || pg_catalog.pg_get_expr(y.polqual, y.polrelid),
            'CHECK ' || pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid)
        )
    FROM pg_catalog.pg_policy AS y
    JOIN pg_catalog.pg_class AS c ON c.oid = y.polrelid
    JOIN spaces AS s ON s.oid = c.relnamespace
    UNION ALL
    SELECT
        'statistics', s.nspname || '.' || x.stxname, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, x.oid,
        pg_catalog.pg_get_statisticsobjdef(x.oid)
    FROM pg_catalog.pg_statistic_ext AS x
    JOIN spaces AS s ON s.oid = x.stxnamespace
)
SELECT f.kind, f.name, COALESCE(f.definition, '') AS definition
FROM found AS f
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = f.classid AND d.objid = f.objid AND d.deptype IN ('e', 'i')
)
ORDER BY f.kind COLLATE "C", f.name COLLATE "C"
