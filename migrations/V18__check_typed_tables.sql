-- Nothing was lost on the way: every attribute equals its column, and a typed row is where its medium has one of its keys.
-- omtdb: opt-in
--
-- Before this version: version 1 of the application everywhere. Fails and names media whose attributes a column cannot hold
-- ("a whole number" is expected and "abc" found). Correct those in attributes, where the trigger sees it, and apply again:
-- UPDATE media.media SET attributes = attributes - 'page_count' WHERE id = ….
-- omtdb: check media.media by id batch=10000
SELECT m.id AS media_id, 'media.' || a.what AS what, a.expected, a.found
FROM media.media AS m
LEFT JOIN media.books AS b ON b.media_id = m.id
LEFT JOIN media.games AS g ON g.media_id = m.id
LEFT JOIN media.audio AS s ON s.media_id = m.id
LEFT JOIN media.events AS e ON e.media_id = m.id
LEFT JOIN media.screen AS v ON v.media_id = m.id
CROSS JOIN LATERAL (
    SELECT
        k.table_name || '.' || k.key,
        CASE WHEN k.converted IS NULL AND l.is_there THEN k.kind ELSE COALESCE(k.converted, 'null') END,
        CASE WHEN k.converted IS NULL AND l.is_there THEN (m.attributes -> k.key)::TEXT ELSE COALESCE(k.kept, 'null') END
    FROM (
        VALUES
            ('books', 'isbn', 'a string of at most 2000 bytes', media.attribute_key(m.attributes -> 'isbn'), b.isbn),
            ('books', 'publisher', 'a string', media.attribute_text(m.attributes -> 'publisher'), b.publisher),
            (
                'books', 'page_count', 'a whole number',
                media.attribute_integer(m.attributes -> 'page_count')::TEXT, b.page_count::TEXT
            ),
            ('books', 'edition', 'a string', media.attribute_text(m.attributes -> 'edition'), b.edition),
            (
                'games', 'platforms', 'a list of strings',
                media.attribute_texts(m.attributes -> 'platforms')::TEXT, g.platforms::TEXT
            ),
            ('games', 'engine', 'a string', media.attribute_text(m.attributes -> 'engine'), g.engine),
            (
                'games', 'playtime_hours', 'a number',
                media.attribute_numeric(m.attributes -> 'playtime_hours')::TEXT, g.playtime_hours::TEXT
            ),
            ('audio', 'narrator', 'a string', media.attribute_text(m.attributes -> 'narrator'), s.narrator),
            (
                'audio', 'duration_minutes', 'a whole number',
                media.attribute_integer(m.attributes -> 'duration_minutes')::TEXT, s.duration_minutes::TEXT
            ),
            ('audio', 'label', 'a string', media.attribute_text(m.attributes -> 'label'), s.label),
            ('events', 'venue', 'a string', media.attribute_text(m.attributes -> 'venue'), e.venue),
            (
                'events', 'capacity', 'a whole number',
                media.attribute_integer(m.attributes -> 'capacity')::TEXT, e.capacity::TEXT
            ),
            ('events', 'event_type', 'a string', media.attribute_text(m.attributes -> 'event_type'), e.event_type),
            (
                'screen', 'runtime_minutes', 'a whole number',
                media.attribute_integer(m.attributes -> 'runtime_minutes')::TEXT, v.runtime_minutes::TEXT
            ),
            (
                'screen', 'genres', 'a list of strings',
                media.attribute_texts(m.attributes -> 'genres')::TEXT, v.genres::TEXT
            )
    ) AS k (table_name, key, kind, converted, kept)
    CROSS JOIN LATERAL (SELECT COALESCE(m.attributes -> k.key, 'null') <> 'null') AS l (is_there)
    WHERE k.converted IS DISTINCT FROM k.kept OR (k.converted IS NULL AND l.is_there)
    UNION ALL
    SELECT k.table_name, CASE WHEN k.is_due THEN 'a row' ELSE 'no row' END, CASE WHEN k.is_due THEN 'no row' ELSE 'a row' END
    FROM (
        VALUES
            (
                'books', b.media_id IS NOT NULL,
                COALESCE(
                    m.attributes -> 'isbn', m.attributes -> 'publisher', m.attributes -> 'page_count',
                    m.attributes -> 'edition'
                ) IS NOT NULL
            ),
            (
                'games', g.media_id IS NOT NULL,
                COALESCE(m.attributes -> 'platforms', m.attributes -> 'engine', m.attributes -> 'playtime_hours') IS NOT NULL
            ),
            (
                'audio', s.media_id IS NOT NULL,
                COALESCE(m.attributes -> 'narrator', m.attributes -> 'duration_minutes', m.attributes -> 'label') IS NOT NULL
            ),
            (
                'events', e.media_id IS NOT NULL,
                COALESCE(m.attributes -> 'venue', m.attributes -> 'capacity', m.attributes -> 'event_type') IS NOT NULL
            ),
            (
                'screen', v.media_id IS NOT NULL,
                COALESCE(m.attributes -> 'runtime_minutes', m.attributes -> 'genres') IS NOT NULL
            )
    ) AS k (table_name, is_there, is_due)
    WHERE k.is_there <> k.is_due
) AS a (what, expected, found)
WHERE m.id BETWEEN $1 AND $2
ORDER BY m.id, a.what;
