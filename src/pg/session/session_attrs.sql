-- session_attrs: whether the server is in recovery, and whether this session may only read.
-- Needs: PostgreSQL 15+, no special role.
SELECT
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    pg_catalog.current_setting('transaction_read_only') = 'on' AS read_only
