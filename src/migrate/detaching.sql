-- detaching: whether the leaf $2 of $1 is being detached; no row when it is none of its leaves (any more).
SELECT h.inhdetachpending AS pending
FROM pg_catalog.pg_inherits AS h
WHERE h.inhparent = pg_catalog.to_regclass($1) AND h.inhrelid = pg_catalog.to_regclass($2)
