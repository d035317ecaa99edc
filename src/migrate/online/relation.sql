-- relation: what is called $1 (quoted, qualified): its oid, kind, and for an index its table.
SELECT
    c.oid,
    c.relkind::text AS kind,
    i.indrelid AS table_oid,
    coalesce(i.indisvalid AND i.indisready AND i.indislive, TRUE) AS valid
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid = pg_catalog.to_regclass($1)
