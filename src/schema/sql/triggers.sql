-- triggers: triggers that somebody created on tables in the schemas $1; leaves have those of their table too.
SELECT
    g.tgrelid AS relation,
    g.tgname AS name,
    pg_catalog.pg_get_triggerdef(g.oid) AS definition,
    g.tgrelid::pg_catalog.regclass::text AS table,
    CASE g.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END AS enabled
FROM pg_catalog.pg_trigger AS g
JOIN pg_catalog.pg_class AS c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p') AND NOT g.tgisinternal
ORDER BY g.tgrelid, g.tgname
