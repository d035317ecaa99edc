-- lists: smart lists whose two copies of the definition differ, or of which one is missing.
-- Needs: PostgreSQL 15+ and SELECT on interaction.user_lists and interaction.smart_lists.
SELECT pg_catalog.count(*) AS breaches
FROM (SELECT id AS list_id, filter_definition FROM interaction.user_lists WHERE list_type = 'smart') AS lists
FULL JOIN interaction.smart_lists AS smart USING (list_id)
WHERE lists.filter_definition IS DISTINCT FROM smart.filter_definition
