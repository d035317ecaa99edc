-- checkpoints_17: checkpoints so far, as PostgreSQL 17 and later count them.
-- Needs: PostgreSQL 17+, no special role.
SELECT c.name AS name, c.value::pg_catalog.float8 AS value
FROM pg_catalog.pg_stat_checkpointer AS b
CROSS JOIN LATERAL (
    VALUES ('checkpoints_timed', b.num_timed), ('checkpoints_requested', b.num_requested)
) AS c (name, value)
