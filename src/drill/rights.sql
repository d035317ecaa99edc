-- rights: what a drill's role may do on the source, and what stands in for what it may not.
-- Needs: PostgreSQL 15+, no special role.
SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS is_superuser,
       pg_catalog.to_regprocedure('omtdb.drill_lock()') IS NOT NULL AS has_lock_function,
       pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') AS may_mark,
       pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE') AS may_end_segment,
       (SELECT coalesce(pg_catalog.array_agg(c.oid::pg_catalog.regclass::text ORDER BY 1), '{}')
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
          AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
               OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'))) AS unreadable
