-- probe: keys $2, for each of which the bound with modulus $3 and remainder $4 was computed, that PostgreSQL puts elsewhere.
SELECT pg_catalog.count(*) AS misplaced
FROM unnest($2::uuid[], $3::int4[], $4::int4[]) AS routed (key, modulus, remainder)
WHERE NOT pg_catalog.satisfies_hash_partition($1::oid, routed.modulus, routed.remainder, routed.key)
