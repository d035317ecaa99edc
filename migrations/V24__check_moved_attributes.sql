-- No key is left in attributes that a typed table has a column for.
-- omtdb: opt-in
--
-- Before this version: version 3 of the application everywhere. Fails and names the media of which attributes say something
-- else than the column: an instance of version 2 has written after V22, or the value is none the column can hold. Decide
-- which is right, write it to the column, take the key out (UPDATE media.media SET attributes = attributes - 'page_count'
-- WHERE id = …), and apply again.
-- omtdb: check media.media by id batch=10000
SELECT
    m.id AS media_id, 'media.' || k.what AS what, COALESCE(k.kept, 'null') AS expected,
    (m.attributes -> k.key)::TEXT AS found
FROM media.media AS m
LEFT JOIN media.books AS b ON b.media_id = m.id
LEFT JOIN media.games AS g ON g.media_id = m.id
LEFT JOIN media.audio AS s ON s.media_id = m.id
LEFT JOIN media.events AS e ON e.media_id = m.id
LEFT JOIN media.screen AS v ON v.media_id = m.id
CROSS JOIN LATERAL (
    VALUES
        ('isbn', 'books.isbn', b.isbn),
        ('publisher', 'books.publisher', b.publisher),
        ('page_count', 'books.page_count', b.page_count::TEXT),
        ('edition', 'books.edition', b.edition),
        ('platforms', 'games.platforms', g.platforms::TEXT),
        ('engine', 'games.engine', g.engine),
        ('playtime_hours', 'games.playtime_hours', g.playtime_hours::TEXT),
        ('narrator', 'audio.narrator', s.narrator),
        ('duration_minutes', 'audio.duration_minutes', s.duration_minutes::TEXT),
        ('label', 'audio.label', s.label),
        ('venue', 'events.venue', e.venue),
        ('capacity', 'events.capacity', e.capacity::TEXT),
        ('event_type', 'events.event_type', e.event_type),
        ('runtime_minutes', 'screen.runtime_minutes', v.runtime_minutes::TEXT),
        ('genres', 'screen.genres', v.genres::TEXT)
) AS k (key, what, kept)
WHERE m.id BETWEEN $1 AND $2 AND m.attributes -> k.key IS NOT NULL
ORDER BY m.id, k.what;
