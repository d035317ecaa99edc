-- What was written before V16 comes into the typed tables.
-- omtdb: opt-in
--
-- Before this version: version 1 of the application everywhere. A medium's row is locked before it is read, and stays locked
-- until its batch is committed. So an update that was first is waited for, and its version is what is copied, as a lock in
-- READ COMMITTED gives the newest version of a row; an update that comes later waits, and its trigger copies after this did.
-- What happens between batches is the trigger's alone. The lock is the one an update would take: rows that refer to a medium
-- can be written meanwhile. MATERIALIZED, as the planner could otherwise copy a row before it is locked; in the order of the
-- keys, so that those who lock several media in that order never wait in a circle.
-- omtdb: backfill media.media by id batch=1000
WITH locked AS MATERIALIZED (
    SELECT m.id, m.attributes
    FROM media.media AS m
    WHERE m.id BETWEEN $1 AND $2
    ORDER BY m.id
    FOR NO KEY UPDATE
)
SELECT media.copy_attributes(l.id, '{}', l.attributes) FROM locked AS l;
