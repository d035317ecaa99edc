-- write: one write of a client, with one change of what the application holds.
-- Needs: PostgreSQL 15+, the tables of tables.sql.
WITH changed AS (
    UPDATE interaction.user_media AS item
    SET updated_at = pg_catalog.clock_timestamp()
    FROM omtdb.drill_items AS i
    WHERE i.n = ($1::int * 250 + $2::bigint % 250) % 1000 + 1
        AND (item.user_id, item.media_id) = (i.user_id, i.media_id)
)
INSERT INTO omtdb.drill_ack (writer, seq) VALUES ($1, $2)
