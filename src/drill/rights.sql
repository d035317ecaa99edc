-- rights: what a drill's role may do on the source, and what stands in for what it may not.
-- Needs: PostgreSQL 15+, no special role.
SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS is_superuser,
       -- The function runs with its owner's rights: one that a lesser role made may do anything to ours.
       EXISTS (SELECT FROM pg_catalog.pg_proc AS p
               JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
               JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
               WHERE n.nspname = 'omtdb' AND p.proname = 'drill_lock' AND p.pronargs = 0 AND p.prosecdef AND r.rolsuper
                   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                   AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) AS has_lock_function,
       EXISTS (SELECT FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'omtdb' AND c.relname = 'drill_sentinel'
                   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                   AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
                   AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
                   AND pg_catalog.has_table_privilege(c.oid, 'DELETE')) AS may_write,
       (SELECT rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user) AS sees_all,
       pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') AS may_mark,
       pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE') AS may_end_segment,
       (SELECT coalesce(pg_catalog.array_agg(c.oid::pg_catalog.regclass::text ORDER BY 1), '{}')
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
          AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
               OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'))) AS unreadable
