-- locks: how many tables and indexes of users the session has locked; the system's own are left out.
-- Needs: PostgreSQL 15+, no special role.
SELECT pg_catalog.count(*) AS locks
FROM pg_catalog.pg_locks AS l
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.relation >= 16384
