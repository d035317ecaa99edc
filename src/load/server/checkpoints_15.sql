-- checkpoints_15: checkpoints so far, as PostgreSQL 15 and 16 count them.
-- Needs: PostgreSQL 15 or 16, no special role.
SELECT c.name AS name, c.value::pg_catalog.float8 AS value
FROM pg_catalog.pg_stat_bgwriter AS b
CROSS JOIN LATERAL (
    VALUES ('checkpoints_timed', b.checkpoints_timed), ('checkpoints_requested', b.checkpoints_req)
) AS c (name, value)
