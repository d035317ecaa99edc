-- columns: what the planner knows of every column of user tables, and of the expressions of their indexes.
-- Needs: PostgreSQL 15+; columns of tables that the role may not read are left out.
SELECT
    s.schemaname::text AS schema,
    s.tablename::text AS relation,
    s.attname::text AS "column",
    s.inherited AS inherited,
    s.null_frac::pg_catalog.float8 AS null_frac,
    s.avg_width AS avg_width,
    s.n_distinct::pg_catalog.float8 AS n_distinct,
    s.most_common_vals::text AS common,
    s.most_common_freqs::pg_catalog.float8[] AS common_freqs,
    s.histogram_bounds::text AS histogram,
    s.correlation::pg_catalog.float8 AS correlation,
    s.most_common_elems::text AS elements,
    s.most_common_elem_freqs::pg_catalog.float8[] AS element_freqs,
    s.elem_count_histogram::pg_catalog.float8[] AS element_counts
FROM pg_catalog.pg_stats AS s
WHERE s.schemaname NOT IN ('pg_catalog', 'information_schema', 'omtdb')
