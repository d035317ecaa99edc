-- sentinel: the table of a drill's own writes; rows stay only while their drill runs.
-- Needs: PostgreSQL 15+ and CREATE in the database. The lock keeps two drills from making it at once.
BEGIN;
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('omtdb.drill_sentinel', 0));
CREATE SCHEMA IF NOT EXISTS omtdb;
CREATE TABLE IF NOT EXISTS omtdb.drill_sentinel (
    drill      UUID NOT NULL,
    seq        BIGINT NOT NULL,
    token      UUID NOT NULL,
    written_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (drill, seq)
);
COMMIT
