-- From here on a key that is taken out of attributes leaves its column as it is, so that the application can take keys out.
-- omtdb: opt-in
--
-- Before this version: version 2 of the application everywhere. After it, version 3 may be rolled out. It writes typed
-- tables, and when it writes a row of one it takes that table's keys out of the medium's attributes, in the same transaction
-- and in either order. That is why this is a step of its own: what V16 made would empty the columns of those keys.
--
-- What version 2 writes meanwhile is still copied; only that it takes a key out is no longer seen: it sets the key to null
-- instead. Nothing is copied the other way: version 2 reads the typed tables, so version 3 can be taken back to version 2
-- until V22, and a copy in each direction would have to guess which of two writes was meant.
CREATE OR REPLACE FUNCTION media.copy_written_attributes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' OR pg_catalog.jsonb_typeof(OLD.attributes) <> 'object' THEN
        PERFORM media.copy_attributes(NEW.id, '{}', NEW.attributes);
    ELSIF OLD.attributes IS DISTINCT FROM NEW.attributes AND pg_catalog.jsonb_typeof(NEW.attributes) = 'object' THEN
        -- What is only in the old attributes is in both that are compared.
        PERFORM media.copy_attributes(NEW.id, OLD.attributes, OLD.attributes || NEW.attributes);
    END IF;
    RETURN NULL;
END
$$;
