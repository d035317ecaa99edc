-- capture: EXPLAIN documents of every kind the plan tree reads, a line each: name, tab, JSON as the server wrote it.
-- Needs: an empty database of the major version N, a superuser. To renew N.tsv:
--   psql --no-psqlrc --quiet --no-align --tuples-only --field-separator=$'\t' --file=capture.sql URL > N.tsv
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE SCHEMA interaction;
CREATE TABLE interaction.user_media (
    user_id uuid NOT NULL, media_id uuid NOT NULL, status text NOT NULL, updated_at timestamptz NOT NULL, notes text,
    PRIMARY KEY (user_id, media_id)
) PARTITION BY HASH (user_id);
SELECT format('CREATE TABLE interaction.user_media_m4_r%s PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 4, REMAINDER %s) WITH (autovacuum_enabled = false)', r, r)
FROM generate_series(0, 3) AS r \gexec
CREATE INDEX idx_user_media_user_status ON interaction.user_media (user_id, status);
CREATE INDEX idx_user_media_media_id ON interaction.user_media (media_id);
INSERT INTO interaction.user_media
SELECT md5('u' || i % 400)::uuid, md5('m' || i)::uuid,
    (ARRAY['planned', 'completed'])[1 + i % 2], '2026-01-01'::timestamptz + i * interval '1 minute', repeat('x', 40)
FROM generate_series(1, 20000) AS i;
CREATE SCHEMA media;
CREATE TABLE media.media (id uuid, title text) WITH (autovacuum_enabled = false);
CREATE INDEX idx_media_id ON media.media (id);
INSERT INTO media.media SELECT md5('m' || i)::uuid, repeat('t', 900) FROM generate_series(1, 20000) AS i;
VACUUM (ANALYZE, FREEZE);

CREATE FUNCTION plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE document json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON) ' || statement INTO document;
    RETURN regexp_replace(document::text, '\n\s*', '', 'g');
END $$;

PREPARE one_user(uuid) AS
    SELECT media_id, status FROM interaction.user_media WHERE user_id = $1 ORDER BY updated_at DESC LIMIT 5;
PREPARE some_users(uuid[]) AS SELECT count(*) FROM interaction.user_media WHERE user_id = ANY ($1);
PREPARE upsert(uuid) AS
    INSERT INTO interaction.user_media VALUES ($1, $1, 'planned', '2026-01-01', NULL)
    ON CONFLICT (user_id, media_id) DO UPDATE SET status = excluded.status;
PREPARE finish(uuid) AS UPDATE interaction.user_media SET status = 'completed' WHERE user_id = $1;

SET plan_cache_mode = force_custom_plan;
SELECT 'custom', plan(format('EXECUTE one_user(%L)', md5('u7')));
SELECT 'custom_array', plan(format('EXECUTE some_users(%L)', ARRAY[md5('u7')]));
SELECT 'upsert', plan(format('EXECUTE upsert(%L)', md5('u7')));
SELECT 'update', plan(format('EXECUTE finish(%L)', md5('u7')));
SET plan_cache_mode = force_generic_plan;
SELECT 'generic', plan(format('EXECUTE one_user(%L)', md5('u7')));
SELECT 'generic_array', plan(format('EXECUTE some_users(%L)', ARRAY[md5('u7')]));
SELECT 'no_key', plan('SELECT * FROM interaction.user_media WHERE status = ''dropped''');
SET enable_hashjoin = off;
SELECT 'run_time_pruning', plan($$
    SELECT um.status FROM (VALUES (md5('u7')::uuid), (md5('u7')::uuid)) AS u (id), interaction.user_media AS um
    WHERE um.user_id = u.id $$);
RESET ALL;
SET work_mem = '64kB';
SELECT 'sort_spill', plan('SELECT * FROM interaction.user_media ORDER BY notes, updated_at');
SET enable_sort = off;
SELECT 'aggregate_spill', plan('SELECT updated_at, count(*) FROM interaction.user_media GROUP BY updated_at');
RESET enable_sort;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT 'hash_spill', plan('SELECT count(*) FROM interaction.user_media AS a JOIN interaction.user_media AS b USING (updated_at)');
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_seqscan = off;
SELECT 'lossy_bitmap', plan($$ SELECT count(title) FROM media.media WHERE id > '20000000-0000-0000-0000-000000000000' $$);
RESET ALL;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET enable_seqscan = off;
SET work_mem = '64kB';
SELECT 'incremental_sort', plan('SELECT * FROM interaction.user_media ORDER BY user_id, notes');
RESET ALL;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET work_mem = '64kB';
SELECT 'parallel', plan('SELECT * FROM interaction.user_media ORDER BY notes, updated_at');
