-- tables: what omtdb did to this database and how, beside refinery's history, which says only what is applied.
CREATE TABLE IF NOT EXISTS omtdb.migration_run (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event TEXT NOT NULL,
    version BIGINT,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    sql TEXT NOT NULL,
    reason TEXT,
    plan TEXT,
    db_user TEXT NOT NULL DEFAULT session_user,
    os_user TEXT,
    host TEXT,
    client_addr INET DEFAULT pg_catalog.inet_client_addr(),
    omtdb TEXT NOT NULL,
    revision TEXT,
    started_at TIMESTAMPTZ NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at TIMESTAMPTZ,
    outcome TEXT NOT NULL DEFAULT 'running',
    sqlstate TEXT,
    message TEXT
);

CREATE TABLE IF NOT EXISTS omtdb.migration_step (
    run BIGINT NOT NULL REFERENCES omtdb.migration_run (id),
    step TEXT NOT NULL,
    digest TEXT NOT NULL,
    sql TEXT NOT NULL,
    backend_pid INT NOT NULL,
    backend_start TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at TIMESTAMPTZ,
    wal_from PG_LSN DEFAULT pg_catalog.pg_current_wal_insert_lsn(),
    wal_bytes BIGINT,
    attempts INT NOT NULL DEFAULT 0,
    lock_wait_ms DOUBLE PRECISION,
    longest_lock_wait_ms DOUBLE PRECISION,
    blockers TEXT[],
    outcome TEXT NOT NULL DEFAULT 'running',
    sqlstate TEXT,
    message TEXT,
    PRIMARY KEY (run, step)
);

CREATE TABLE IF NOT EXISTS omtdb.migration_sweep (
    version BIGINT NOT NULL,
    step TEXT NOT NULL,
    digest TEXT NOT NULL,
    last_key TEXT,
    changed BIGINT NOT NULL DEFAULT 0,
    batches BIGINT NOT NULL DEFAULT 0,
    batch INT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (version, step)
);
