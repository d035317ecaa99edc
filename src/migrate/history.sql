-- history: refinery's record of what was applied, by version.
SELECT h.version, h.name, h.applied_on, h.checksum FROM public.refinery_schema_history AS h ORDER BY h.version
