-- The lookups that attributes had indexes for, on the typed columns: by ISBN, by length, by platform, by genre.
-- omtdb: opt-in
--
-- Before this version: version 1 of the application everywhere. After it, version 2 may be rolled out: it reads the typed
-- tables and still writes attributes. Going back to version 1 costs nothing.
-- omtdb: online jobs=2
CREATE INDEX idx_books_isbn ON media.books (isbn);
-- omtdb: online jobs=2
CREATE INDEX idx_screen_runtime_minutes ON media.screen (runtime_minutes);
-- omtdb: online jobs=2
CREATE INDEX idx_games_platforms ON media.games USING GIN (platforms);
-- omtdb: online jobs=2
CREATE INDEX idx_screen_genres ON media.screen USING GIN (genres);
