-- settings: what the planner goes by, and how well ANALYZE looks.
-- Needs: PostgreSQL 15+, no special role.
SELECT s.name AS name, pg_catalog.current_setting(s.name) AS value
FROM pg_catalog.pg_settings AS s
WHERE s.category LIKE 'Query Tuning%' AND s.name <> 'plan_cache_mode'
    OR s.name IN ('work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather')
