-- server: what a base backup and a recovery need to know about the server.
-- Needs: PostgreSQL 15+, no special role; archive_command is NULL to roles that may not read it.
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) AS timeline,
       pg_catalog.current_setting('wal_level') AS wal_level,
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS wal_segment_bytes,
       pg_catalog.current_setting('archive_mode') AS archive_mode,
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'archive_command') AS archive_command,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS is_superuser,
       (SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user) AS may_replicate,
       -- OID 10 is the superuser that initdb made; it is there in every copy.
       (SELECT rolname::text FROM pg_catalog.pg_roles WHERE oid = 10) AS bootstrap_role,
       (SELECT count(*) FROM pg_catalog.pg_tablespace) - 2 AS own_tablespaces,
       -- NULL before 17, which has no such setting.
       pg_catalog.current_setting('summarize_wal', true)::boolean AS summarizes,
       (SELECT coalesce(sum(pg_catalog.pg_database_size(oid)), 0)::bigint FROM pg_catalog.pg_database
        WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')) AS data_bytes,
       pg_catalog.current_setting('data_checksums') = 'on' AS has_checksums,
       (SELECT pg_catalog.array_agg(name || '=' || setting ORDER BY name) FROM pg_catalog.pg_settings
        WHERE name IN ('max_connections', 'max_locks_per_transaction', 'max_prepared_transactions',
                       'max_wal_senders', 'max_worker_processes')) AS recovery_settings
