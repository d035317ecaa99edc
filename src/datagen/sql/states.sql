-- states: items, ratings and the sum of ratings by status.
SELECT status, pg_catalog.count(*) AS items, pg_catalog.count(rating) AS rated,
       COALESCE(pg_catalog.sum(rating), 0)::int8 AS points
FROM interaction.user_media
GROUP BY status
