-- Attributes lose what the typed tables hold: each value is in one place.
-- omtdb: opt-in
--
-- Before this version: version 3 of the application everywhere. A key goes only where its column holds the very value, or
-- where its value is null. Nobody who keeps to the rules of V21 leaves another value; it stays, for V24 to name.
--
-- Rows are locked before they are compared, as in V17, so that no version of a row is written over by an older one.
-- updated_at stays as it is: nothing changes that a reader of the medium could see.
-- omtdb: backfill media.media by id batch=1000
WITH moved AS MATERIALIZED (
    SELECT
        m.id,
        pg_catalog.array_remove(
            ARRAY[
                CASE WHEN m.attributes -> 'isbn' = 'null' OR media.attribute_key(m.attributes -> 'isbn') = b.isbn
                    THEN 'isbn' END,
                CASE WHEN m.attributes -> 'publisher' = 'null'
                    OR media.attribute_text(m.attributes -> 'publisher') = b.publisher THEN 'publisher' END,
                CASE WHEN m.attributes -> 'page_count' = 'null'
                    OR media.attribute_integer(m.attributes -> 'page_count') = b.page_count THEN 'page_count' END,
                CASE WHEN m.attributes -> 'edition' = 'null' OR media.attribute_text(m.attributes -> 'edition') = b.edition
                    THEN 'edition' END,
                CASE WHEN m.attributes -> 'platforms' = 'null'
                    OR media.attribute_texts(m.attributes -> 'platforms') = g.platforms THEN 'platforms' END,
                CASE WHEN m.attributes -> 'engine' = 'null' OR media.attribute_text(m.attributes -> 'engine') = g.engine
                    THEN 'engine' END,
                CASE WHEN m.attributes -> 'playtime_hours' = 'null'
                    OR media.attribute_numeric(m.attributes -> 'playtime_hours') = g.playtime_hours
                    THEN 'playtime_hours' END,
                CASE WHEN m.attributes -> 'narrator' = 'null'
                    OR media.attribute_text(m.attributes -> 'narrator') = s.narrator THEN 'narrator' END,
                CASE WHEN m.attributes -> 'duration_minutes' = 'null'
                    OR media.attribute_integer(m.attributes -> 'duration_minutes') = s.duration_minutes
                    THEN 'duration_minutes' END,
                CASE WHEN m.attributes -> 'label' = 'null' OR media.attribute_text(m.attributes -> 'label') = s.label
                    THEN 'label' END,
                CASE WHEN m.attributes -> 'venue' = 'null' OR media.attribute_text(m.attributes -> 'venue') = e.venue
                    THEN 'venue' END,
                CASE WHEN m.attributes -> 'capacity' = 'null'
                    OR media.attribute_integer(m.attributes -> 'capacity') = e.capacity THEN 'capacity' END,
                CASE WHEN m.attributes -> 'event_type' = 'null'
                    OR media.attribute_text(m.attributes -> 'event_type') = e.event_type THEN 'event_type' END,
                CASE WHEN m.attributes -> 'runtime_minutes' = 'null'
                    OR media.attribute_integer(m.attributes -> 'runtime_minutes') = v.runtime_minutes
                    THEN 'runtime_minutes' END,
                CASE WHEN m.attributes -> 'genres' = 'null' OR media.attribute_texts(m.attributes -> 'genres') = v.genres
                    THEN 'genres' END
            ],
            NULL
        ) AS keys
    FROM media.media AS m
    LEFT JOIN media.books AS b ON b.media_id = m.id
    LEFT JOIN media.games AS g ON g.media_id = m.id
    LEFT JOIN media.audio AS s ON s.media_id = m.id
    LEFT JOIN media.events AS e ON e.media_id = m.id
    LEFT JOIN media.screen AS v ON v.media_id = m.id
    WHERE m.id BETWEEN $1 AND $2
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
)
UPDATE media.media AS m
SET attributes = m.attributes - d.keys
FROM moved AS d
WHERE m.id = d.id AND d.keys <> '{}';
