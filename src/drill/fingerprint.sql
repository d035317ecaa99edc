-- fingerprint: digests of one leaf by bucket of its key, independent of the order of rows.
-- {leaf} and {key} are quoted names. Two seeds: a sum alone or an exclusive-or alone can be fooled.
-- record_send is byte-exact, and works for types without a hash (ltree before 17); client_encoding must be UTF8.
-- Needs: PostgreSQL 15+ and SELECT.
SELECT bucket,
       pg_catalog.count(*) AS row_count,
       pg_catalog.sum(pg_catalog.hash_record_extended(ROW(bytes), 1))::text AS total,
       pg_catalog.bit_xor(pg_catalog.hash_record_extended(ROW(bytes), 2)) AS parity
FROM (SELECT (pg_catalog.hash_record_extended(ROW({key}), 0) & 1023)::int4 AS bucket,
             pg_catalog.record_send(t) AS bytes
      FROM ONLY {leaf} AS t
      OFFSET 0) AS rows
GROUP BY bucket
ORDER BY bucket
