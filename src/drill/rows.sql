-- rows: key and digest of each row in one bucket of one leaf; {leaf} and {key} are quoted names.
-- Needs: PostgreSQL 15+ and SELECT.
SELECT (ROW({key}))::text AS key,
       pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(t)), 1) AS digest
FROM ONLY {leaf} AS t
WHERE (pg_catalog.hash_record_extended(ROW({key}), 0) & 1023)::int4 = $1
