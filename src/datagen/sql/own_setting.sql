-- own_setting: what ALTER SYSTEM has set $1 to; NULL where it has not. Needs a superuser.
SELECT (SELECT f.setting FROM pg_catalog.pg_file_settings AS f
        WHERE f.name = $1::text AND f.sourcefile LIKE '%/postgresql.auto.conf' LIMIT 1) AS own
