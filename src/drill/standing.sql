-- standing: where a recovering server stands.
-- Needs: PostgreSQL 15+, a server in recovery.
SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS replayed,
       pg_catalog.pg_get_wal_replay_pause_state() = 'paused' AS paused,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier
