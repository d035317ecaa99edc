-- Indexes that nothing reads any more cost every write and the memory they lie in.
-- omtdb: opt-in
--
-- Before this version: version 2 of the application everywhere. Version 1 still gets right answers, by reading all media.
-- idx_media_attributes stays: it serves the attributes that no typed table has.
-- omtdb: online
DROP INDEX media.idx_media_attr_isbn;
-- omtdb: online
DROP INDEX media.idx_media_attr_runtime_minutes;
-- omtdb: online
DROP INDEX media.idx_media_attr_platforms;
-- omtdb: online
DROP INDEX media.idx_media_attr_genres;
