-- io_16: reads and writes of relations so far, by kind of process.
-- Needs: PostgreSQL 16+, no special role.
SELECT 'io_' || pg_catalog.replace(i.backend_type, ' ', '_') || '_' || c.name AS name, sum(c.value)::pg_catalog.float8 AS value
FROM pg_catalog.pg_stat_io AS i
CROSS JOIN LATERAL (VALUES ('reads', i.reads), ('writes', i.writes), ('extends', i.extends), ('fsyncs', i.fsyncs)) AS c (name, value)
WHERE c.value > 0
GROUP BY 1
