-- moved: whether what only some media have lives in tables of its own, and nothing copies it there any more (V22 and later).
SELECT
    pg_catalog.to_regclass('media.books') IS NOT NULL
    AND pg_catalog.to_regclass('media.idx_media_attr_isbn') IS NULL
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = pg_catalog.to_regclass('media.media') AND NOT t.tgisinternal
    ) AS moved
