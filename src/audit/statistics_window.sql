-- statistics_window: since when this server has counted scans of this database, and who else answers queries.
-- Needs: PostgreSQL 15+, no special role.
-- A crash, a restore and a promotion start the counters anew, which the archiver's reset time shows: nobody resets that.
SELECT
    greatest(d.stats_reset, a.stats_reset) AS since,
    extract(epoch FROM pg_catalog.now() - greatest(d.stats_reset, a.stats_reset))::pg_catalog.float8 / 86400 AS days,
    (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS standbys
FROM pg_catalog.pg_stat_database AS d
CROSS JOIN pg_catalog.pg_stat_archiver AS a
WHERE d.datname = pg_catalog.current_database();
