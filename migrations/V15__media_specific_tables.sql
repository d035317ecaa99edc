-- Attributes that only some media have, as typed columns: what a column is named after is its key in attributes.
-- omtdb: opt-in
--
-- A medium has a row in each table of which its attributes have at least one key. The keys decide, not media_type: that is
-- free text, of which an application may know more values than the plan, and genres are found in media of every type.
-- Every column may be null, as every key may be missing.
--
-- These tables are filled and come into use step by step, and after each step an application of the former version still
-- works. Version 1 of it reads and writes attributes; version 2 reads these tables and writes attributes; version 3 reads
-- and writes these tables. Each later file says which version must be everywhere before it is applied: for this one,
-- version 1.
SET LOCAL ROLE omt_owner;

CREATE TABLE media.books (
    media_id UUID PRIMARY KEY REFERENCES media.media (id) ON DELETE CASCADE,
    isbn TEXT,
    publisher TEXT,
    page_count INT,
    edition TEXT
);

-- Hours are played in parts.
CREATE TABLE media.games (
    media_id UUID PRIMARY KEY REFERENCES media.media (id) ON DELETE CASCADE,
    platforms TEXT[],
    engine TEXT,
    playtime_hours NUMERIC
);

CREATE TABLE media.audio (
    media_id UUID PRIMARY KEY REFERENCES media.media (id) ON DELETE CASCADE,
    narrator TEXT,
    duration_minutes INT,
    label TEXT
);

CREATE TABLE media.events (
    media_id UUID PRIMARY KEY REFERENCES media.media (id) ON DELETE CASCADE,
    venue TEXT,
    capacity INT,
    event_type TEXT
);

CREATE TABLE media.screen (
    media_id UUID PRIMARY KEY REFERENCES media.media (id) ON DELETE CASCADE,
    runtime_minutes INT,
    genres TEXT[]
);

RESET ROLE;
