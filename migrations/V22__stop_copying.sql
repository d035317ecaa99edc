-- The typed tables are on their own: attributes are no longer copied.
-- omtdb: opt-in
--
-- Before this version: version 3 of the application everywhere. What version 2 would write to attributes from here on is not
-- copied; V24 finds it.
DROP TRIGGER copy_written_attributes ON media.media;
DROP FUNCTION media.copy_written_attributes();
DROP FUNCTION media.copy_attributes(UUID, JSONB, JSONB);
