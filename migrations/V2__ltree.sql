-- The taxonomy of media is a label tree. An administrator may have installed the extension already: then it must be in
-- public, where the type of media.media.media_class is looked for.
CREATE EXTENSION IF NOT EXISTS ltree WITH SCHEMA public;

DO $$
DECLARE
    found text := (SELECT extnamespace::regnamespace::text FROM pg_catalog.pg_extension WHERE extname = 'ltree');
BEGIN
    IF found IS DISTINCT FROM 'public' THEN
        RAISE EXCEPTION 'extension ltree is in schema %, not in public', found
            USING HINT = 'ALTER EXTENSION ltree SET SCHEMA public';
    END IF;
END
$$;
