-- holders_of_media: how many media have how many holders, of those that have any.
SELECT h.count, pg_catalog.count(*) AS owners
FROM (SELECT pg_catalog.count(*) AS count FROM interaction.user_media GROUP BY media_id) AS h
GROUP BY h.count
