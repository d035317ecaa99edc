-- settings: what the server's configuration changed, by name; figures with their unit as SHOW prints them.
-- Needs: PostgreSQL 15+, no special role; settings that only superusers may read are absent for others.
SELECT s.name AS name, pg_catalog.current_setting(s.name) AS value
FROM pg_catalog.pg_settings AS s
WHERE s.source NOT IN ('default', 'override', 'client', 'session')
  AND s.setting IS DISTINCT FROM s.boot_val
ORDER BY s.name
