-- leaves: the leaves of a partitioned table with their bounds. A leaf whose concurrent detaching is under way is left out.
SELECT c.oid, n.nspname AS schema, c.relname AS name, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE pn.nspname = $1::text AND p.relname = $2::text AND p.relkind = 'p' AND NOT i.inhdetachpending
ORDER BY c.relname
