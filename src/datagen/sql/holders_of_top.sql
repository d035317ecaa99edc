-- holders_of_top: how many users hold each of the media $1.
SELECT media_id, pg_catalog.count(*) AS holders
FROM interaction.user_media
WHERE media_id = ANY ($1::uuid[])
GROUP BY media_id
