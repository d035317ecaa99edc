-- patient: takes the session's time limits away, whichever of them this version knows: a drill may read for hours.
-- Needs: PostgreSQL 15+, no special role.
SELECT pg_catalog.set_config(name, '0', false)
FROM pg_catalog.pg_settings
WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout',
               'transaction_timeout')
