-- The last of the scaffolding goes: nothing converts attributes any more.
-- omtdb: opt-in
--
-- Before this version: version 3 of the application everywhere.
DROP FUNCTION media.attribute_text(JSONB);
DROP FUNCTION media.attribute_key(JSONB);
DROP FUNCTION media.attribute_integer(JSONB);
DROP FUNCTION media.attribute_numeric(JSONB);
DROP FUNCTION media.attribute_texts(JSONB);
