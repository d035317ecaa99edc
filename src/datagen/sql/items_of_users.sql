-- items_of_users: how many users have how many items, of those who have any.
SELECT h.count, pg_catalog.count(*) AS owners
FROM (SELECT pg_catalog.count(*) AS count FROM interaction.user_media GROUP BY user_id) AS h
GROUP BY h.count
