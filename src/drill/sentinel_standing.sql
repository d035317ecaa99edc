-- sentinel_standing: whether the table of a drill's writes can be written to without running somebody else's code.
-- Needs: PostgreSQL 15+, no special role.
SELECT NOT c.relhastriggers AND NOT c.relhasrules AND c.relkind = 'r'
       AND (r.rolsuper OR r.rolname = current_user) AS is_safe
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
WHERE n.nspname = 'omtdb' AND c.relname = 'drill_sentinel'
