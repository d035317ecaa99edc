-- tables: what the clients of a replica drill write, on servers of its own. The session that writes waits for the replica
-- where the drill is a synchronous one; these do not.
-- Needs: PostgreSQL 15+ and CREATE in the database.
SET synchronous_commit = local;
CREATE SCHEMA IF NOT EXISTS omtdb;
CREATE TABLE omtdb.drill_ack (writer INT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (writer, seq));
CREATE TABLE omtdb.drill_heartbeat (at TIMESTAMPTZ NOT NULL);
INSERT INTO omtdb.drill_heartbeat VALUES (pg_catalog.clock_timestamp());
-- Some rows of the application, for the clients to change.
CREATE TABLE omtdb.drill_items AS
SELECT pg_catalog.row_number() OVER () AS n, user_id, media_id FROM interaction.user_media LIMIT 1000;
CREATE UNIQUE INDEX ON omtdb.drill_items (n);
