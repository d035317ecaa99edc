-- From here on whatever is written to attributes is in the typed tables as well, in the same transaction.
-- omtdb: opt-in
--
-- Before this version: version 1 of the application everywhere. It notices nothing: a value that its column cannot hold
-- leaves the column null and never makes a write fail. V18 names such values.
--
-- Only keys whose value changes are copied. So version 3, which writes columns, is not undone when somebody changes another
-- attribute of the same medium.
SET LOCAL ROLE omt_owner;

-- The conversions give null for what they cannot convert and fail for nothing. Their bodies are parsed here, not when they
-- are called: no search_path matters.
CREATE FUNCTION media.attribute_text(value JSONB) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN pg_catalog.jsonb_typeof(value) IN ('string', 'number') THEN value #>> '{}' END;

-- A text that fits into an index.
CREATE FUNCTION media.attribute_key(value JSONB) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN pg_catalog.jsonb_typeof(value) IN ('string', 'number') AND pg_catalog.octet_length(value #>> '{}') <= 2000
    THEN value #>> '{}'
END;

-- Whole numbers, also those that are written as strings. CASE, unlike AND, promises that nothing is cast before it was
-- tested.
CREATE FUNCTION media.attribute_integer(value JSONB) RETURNS INT LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE pg_catalog.jsonb_typeof(value)
    WHEN 'number' THEN
        CASE WHEN value::NUMERIC BETWEEN -2147483648 AND 2147483647 THEN
            CASE WHEN value::NUMERIC % 1 = 0 THEN value::INT END
        END
    WHEN 'string' THEN
        CASE WHEN value #>> '{}' ~ '^(0|-?[1-9][0-9]{0,9})$' THEN
            CASE WHEN (value #>> '{}')::BIGINT BETWEEN -2147483648 AND 2147483647 THEN (value #>> '{}')::INT END
        END
END;

CREATE FUNCTION media.attribute_numeric(value JSONB) RETURNS NUMERIC LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE pg_catalog.jsonb_typeof(value)
    WHEN 'number' THEN value::NUMERIC
    WHEN 'string' THEN
        CASE WHEN value #>> '{}' ~ '^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$' THEN (value #>> '{}')::NUMERIC END
END;

-- Lists of strings that fit into an index, and nothing else: neither a string nor a list of lists. STRICT saves the calls for
-- media without such a list; the functions above are put into the query in their place, which STRICT would prevent.
CREATE FUNCTION media.attribute_texts(value JSONB) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN pg_catalog.jsonb_typeof(value) = 'array' THEN
    CASE
        WHEN NOT EXISTS (
            SELECT FROM pg_catalog.jsonb_array_elements(value) AS a (element)
            WHERE pg_catalog.jsonb_typeof(a.element) <> 'string' OR pg_catalog.octet_length(a.element #>> '{}') > 2000
        )
        THEN ARRAY(
            SELECT a.element
            FROM pg_catalog.jsonb_array_elements_text(value) WITH ORDINALITY AS a (element, place)
            ORDER BY a.place
        )
    END
END;

-- Brings the typed rows of a medium up to what its attributes have become. Whoever calls it holds the medium's row locked,
-- so that no other call for the same medium runs meanwhile and the last word is the last version's.
CREATE FUNCTION media.copy_attributes(medium UUID, before JSONB, after JSONB) RETURNS VOID
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF before -> 'isbn' IS DISTINCT FROM after -> 'isbn'
        OR before -> 'publisher' IS DISTINCT FROM after -> 'publisher'
        OR before -> 'page_count' IS DISTINCT FROM after -> 'page_count'
        OR before -> 'edition' IS DISTINCT FROM after -> 'edition'
    THEN
        INSERT INTO media.books AS t (media_id, isbn, publisher, page_count, edition)
        VALUES (
            medium, media.attribute_key(after -> 'isbn'), media.attribute_text(after -> 'publisher'),
            media.attribute_integer(after -> 'page_count'), media.attribute_text(after -> 'edition')
        )
        ON CONFLICT (media_id) DO UPDATE SET
            isbn = CASE WHEN before -> 'isbn' IS DISTINCT FROM after -> 'isbn' THEN EXCLUDED.isbn ELSE t.isbn END,
            publisher = CASE
                WHEN before -> 'publisher' IS DISTINCT FROM after -> 'publisher' THEN EXCLUDED.publisher ELSE t.publisher
            END,
            page_count = CASE
                WHEN before -> 'page_count' IS DISTINCT FROM after -> 'page_count' THEN EXCLUDED.page_count
                ELSE t.page_count
            END,
            edition = CASE
                WHEN before -> 'edition' IS DISTINCT FROM after -> 'edition' THEN EXCLUDED.edition ELSE t.edition
            END;
        -- A medium that has none of the keys any more has no row.
        DELETE FROM media.books AS t
        WHERE t.media_id = medium
            AND pg_catalog.num_nonnulls(t.isbn, t.publisher, t.page_count, t.edition) = 0
            AND pg_catalog.num_nonnulls(
                after -> 'isbn', after -> 'publisher', after -> 'page_count', after -> 'edition'
            ) = 0;
    END IF;

    IF before -> 'platforms' IS DISTINCT FROM after -> 'platforms'
        OR before -> 'engine' IS DISTINCT FROM after -> 'engine'
        OR before -> 'playtime_hours' IS DISTINCT FROM after -> 'playtime_hours'
    THEN
        INSERT INTO media.games AS t (media_id, platforms, engine, playtime_hours)
        VALUES (
            medium, media.attribute_texts(after -> 'platforms'), media.attribute_text(after -> 'engine'),
            media.attribute_numeric(after -> 'playtime_hours')
        )
        ON CONFLICT (media_id) DO UPDATE SET
            platforms = CASE
                WHEN before -> 'platforms' IS DISTINCT FROM after -> 'platforms' THEN EXCLUDED.platforms ELSE t.platforms
            END,
            engine = CASE
                WHEN before -> 'engine' IS DISTINCT FROM after -> 'engine' THEN EXCLUDED.engine ELSE t.engine
            END,
            playtime_hours = CASE
                WHEN before -> 'playtime_hours' IS DISTINCT FROM after -> 'playtime_hours' THEN EXCLUDED.playtime_hours
                ELSE t.playtime_hours
            END;
        DELETE FROM media.games AS t
        WHERE t.media_id = medium
            AND pg_catalog.num_nonnulls(t.platforms, t.engine, t.playtime_hours) = 0
            AND pg_catalog.num_nonnulls(after -> 'platforms', after -> 'engine', after -> 'playtime_hours') = 0;
    END IF;

    IF before -> 'narrator' IS DISTINCT FROM after -> 'narrator'
        OR before -> 'duration_minutes' IS DISTINCT FROM after -> 'duration_minutes'
        OR before -> 'label' IS DISTINCT FROM after -> 'label'
    THEN
        INSERT INTO media.audio AS t (media_id, narrator, duration_minutes, label)
        VALUES (
            medium, media.attribute_text(after -> 'narrator'), media.attribute_integer(after -> 'duration_minutes'),
            media.attribute_text(after -> 'label')
        )
        ON CONFLICT (media_id) DO UPDATE SET
            narrator = CASE
                WHEN before -> 'narrator' IS DISTINCT FROM after -> 'narrator' THEN EXCLUDED.narrator ELSE t.narrator
            END,
            duration_minutes = CASE
                WHEN before -> 'duration_minutes' IS DISTINCT FROM after -> 'duration_minutes' THEN EXCLUDED.duration_minutes
                ELSE t.duration_minutes
            END,
            label = CASE WHEN before -> 'label' IS DISTINCT FROM after -> 'label' THEN EXCLUDED.label ELSE t.label END;
        DELETE FROM media.audio AS t
        WHERE t.media_id = medium
            AND pg_catalog.num_nonnulls(t.narrator, t.duration_minutes, t.label) = 0
            AND pg_catalog.num_nonnulls(after -> 'narrator', after -> 'duration_minutes', after -> 'label') = 0;
    END IF;

    IF before -> 'venue' IS DISTINCT FROM after -> 'venue'
        OR before -> 'capacity' IS DISTINCT FROM after -> 'capacity'
        OR before -> 'event_type' IS DISTINCT FROM after -> 'event_type'
    THEN
        INSERT INTO media.events AS t (media_id, venue, capacity, event_type)
        VALUES (
            medium, media.attribute_text(after -> 'venue'), media.attribute_integer(after -> 'capacity'),
            media.attribute_text(after -> 'event_type')
        )
        ON CONFLICT (media_id) DO UPDATE SET
            venue = CASE WHEN before -> 'venue' IS DISTINCT FROM after -> 'venue' THEN EXCLUDED.venue ELSE t.venue END,
            capacity = CASE
                WHEN before -> 'capacity' IS DISTINCT FROM after -> 'capacity' THEN EXCLUDED.capacity ELSE t.capacity
            END,
            event_type = CASE
                WHEN before -> 'event_type' IS DISTINCT FROM after -> 'event_type' THEN EXCLUDED.event_type
                ELSE t.event_type
            END;
        DELETE FROM media.events AS t
        WHERE t.media_id = medium
            AND pg_catalog.num_nonnulls(t.venue, t.capacity, t.event_type) = 0
            AND pg_catalog.num_nonnulls(after -> 'venue', after -> 'capacity', after -> 'event_type') = 0;
    END IF;

    IF before -> 'runtime_minutes' IS DISTINCT FROM after -> 'runtime_minutes'
        OR before -> 'genres' IS DISTINCT FROM after -> 'genres'
    THEN
        INSERT INTO media.screen AS t (media_id, runtime_minutes, genres)
        VALUES (
            medium, media.attribute_integer(after -> 'runtime_minutes'), media.attribute_texts(after -> 'genres')
        )
        ON CONFLICT (media_id) DO UPDATE SET
            runtime_minutes = CASE
                WHEN before -> 'runtime_minutes' IS DISTINCT FROM after -> 'runtime_minutes' THEN EXCLUDED.runtime_minutes
                ELSE t.runtime_minutes
            END,
            genres = CASE
                WHEN before -> 'genres' IS DISTINCT FROM after -> 'genres' THEN EXCLUDED.genres ELSE t.genres
            END;
        DELETE FROM media.screen AS t
        WHERE t.media_id = medium
            AND pg_catalog.num_nonnulls(t.runtime_minutes, t.genres) = 0
            AND pg_catalog.num_nonnulls(after -> 'runtime_minutes', after -> 'genres') = 0;
    END IF;
END
$$;

-- With its owner's rights: who may write media.media may not have been granted the typed tables.
CREATE FUNCTION media.copy_written_attributes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM media.copy_attributes(NEW.id, '{}', NEW.attributes);
    ELSIF OLD.attributes IS DISTINCT FROM NEW.attributes THEN
        PERFORM media.copy_attributes(NEW.id, OLD.attributes, NEW.attributes);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER copy_written_attributes AFTER INSERT OR UPDATE OF attributes ON media.media
FOR EACH ROW EXECUTE FUNCTION media.copy_written_attributes();

RESET ROLE;
