-- rewrite_history: gives version $1 another name ($2) and checksum ($3), where its checksum is still $4.
UPDATE public.refinery_schema_history AS h
SET name = $2, checksum = $3
WHERE h.version = $1::int8 AND h.checksum = $4
