-- times: rows of each table whose moments are out of order, or later than the data's present $1.
SELECT 'interaction.user_media' AS table_name, pg_catalog.count(*) AS misordered
FROM interaction.user_media AS m
JOIN users.users AS u ON u.id = m.user_id
WHERE m.created_at < u.created_at OR m.started_at < m.created_at OR m.completed_at < m.started_at
   OR m.updated_at < COALESCE(m.completed_at, m.started_at, m.created_at) OR m.updated_at > $1
   OR (m.status = 'completed') <> (m.completed_at IS NOT NULL)
   OR (m.status <> 'planned') <> (m.started_at IS NOT NULL)
UNION ALL
SELECT 'users.users', pg_catalog.count(*) FROM users.users WHERE updated_at < created_at OR updated_at > $1
UNION ALL
SELECT 'media.media', pg_catalog.count(*) FROM media.media WHERE updated_at < created_at OR updated_at > $1
UNION ALL
SELECT 'interaction.user_lists', pg_catalog.count(*)
FROM interaction.user_lists AS l
JOIN users.users AS u ON u.id = l.user_id
WHERE l.created_at < u.created_at OR l.updated_at < l.created_at OR l.updated_at > $1
UNION ALL
SELECT 'interaction.list_items', pg_catalog.count(*)
FROM interaction.list_items AS i
JOIN interaction.user_lists AS l ON l.id = i.list_id
WHERE i.added_at < l.created_at OR i.added_at > $1
