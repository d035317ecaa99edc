-- relations: tables of the plan's schemas; roots are what a lock is taken on, leaves hold the rows.
-- Needs: PostgreSQL 15+, no special role. Largest first, so that workers end together.
SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       NOT c.relispartition AS is_root,
       c.relkind = 'r' AS is_leaf,
       coalesce((SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
                 FROM pg_catalog.pg_index AS i
                 CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key,
       (SELECT a.attname::text
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND a.attgenerated = ''
          AND a.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i
                          WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
        ORDER BY a.attnum LIMIT 1) AS stamp
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, n.nspname, c.relname
