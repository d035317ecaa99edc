-- standing: where a server stands that recovers, or has recovered.
-- Needs: PostgreSQL 15+. The state of the pause may only be asked for in recovery.
SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS replayed,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_get_wal_replay_pause_state() = 'paused' ELSE false END AS paused,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier
