-- ledger: what the generator keeps about the data set it loaded and the definitions it has put off.
CREATE SCHEMA IF NOT EXISTS omtdb;
CREATE TABLE IF NOT EXISTS omtdb.data_set (
    single BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single),
    seed NUMERIC(20) NOT NULL,
    data_version INT NOT NULL,
    users BIGINT NOT NULL,
    media BIGINT NOT NULL,
    user_media BIGINT NOT NULL,
    shape JSONB NOT NULL,
    layout TEXT NOT NULL,
    shards INT NOT NULL,
    complete BOOLEAN NOT NULL DEFAULT FALSE,
    written_to BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE TABLE IF NOT EXISTS omtdb.loaded (
    relation TEXT PRIMARY KEY,
    table_name TEXT NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    checksum NUMERIC NOT NULL
);
CREATE TABLE IF NOT EXISTS omtdb.deferred (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    table_name TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (schema_name, table_name, name)
);
CREATE TABLE IF NOT EXISTS omtdb.built (
    definition BIGINT NOT NULL,
    kind TEXT NOT NULL,
    schema_name TEXT NOT NULL,
    leaf_name TEXT NOT NULL,
    name TEXT NOT NULL
);
-- Ledgers of data version 1 lack these.
ALTER TABLE omtdb.data_set
    ADD COLUMN IF NOT EXISTS shape JSONB NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS layout TEXT NOT NULL DEFAULT 'arrival',
    ADD COLUMN IF NOT EXISTS shards INT NOT NULL DEFAULT 1;
ALTER TABLE omtdb.built ADD COLUMN IF NOT EXISTS definition BIGINT NOT NULL DEFAULT 0;
CREATE TABLE IF NOT EXISTS omtdb.load_window (
    name TEXT PRIMARY KEY,
    previous TEXT
)
