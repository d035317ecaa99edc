-- walkable: whether no row of $1 has NULL in its column $2, and whether an index over all rows begins with it.
SELECT
    a.attnotnull AS not_null,
    EXISTS (
        SELECT FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_am AS m ON m.oid = x.relam
        WHERE i.indrelid = a.attrelid
            AND i.indkey[0] = a.attnum
            AND i.indpred IS NULL
            AND i.indisvalid
            AND m.amname = 'btree'
    ) AS indexed
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
