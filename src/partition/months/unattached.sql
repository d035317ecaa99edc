-- unattached: tables in the schema $1 that are named as a leaf of $2 for a month would be and are no leaf, and whether this
-- command has built them: then they have a constraint of this name that holds what their bound will say.
SELECT
    c.relname AS name,
    EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.convalidated AND k.conname = c.relname || '_bound'
    ) AS ours
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text
    AND NOT c.relispartition
    AND c.relname ~ '_y[0-9]{4}m[0-9]{2}$'
    AND pg_catalog.starts_with(c.relname::text, $2::text || '_y')
ORDER BY c.relname
