-- project: changes what some users think of what they have, chosen by chance, as an application would.
-- Needs: the schema of the migrations.   $1: how many users.
UPDATE interaction.user_media
SET progress = coalesce(progress, 0) + 1, updated_at = pg_catalog.now()
WHERE user_id IN (SELECT id FROM users.users ORDER BY pg_catalog.random() LIMIT $1)
