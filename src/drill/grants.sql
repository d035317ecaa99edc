-- grants: what a restore drill needs, for a role of its own.
-- What omtdb's restore drill needs on this server, and nothing else. Run by a superuser in the database to be proven.
-- The role can change none of the plan's tables. It can read them, keep writers out of them for the time of a transaction, and
-- stream a backup: with REPLICATION comes every file of the server, those of other databases and password digests too. Treat
-- its password as a superuser's.
-- Give it a password by \password, so that none stands in a file or a log.

CREATE ROLE {role} LOGIN REPLICATION BYPASSRLS;
GRANT CONNECT ON DATABASE {database} TO {role};

-- Whether the archive is fed.
GRANT pg_read_all_settings TO {role};
-- Marks the point, and ends the segment it lies in.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO {role};
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO {role};

-- The content, leaf by leaf; and what the owners of today's tables make later.
{content}DO $$
DECLARE maker record;
BEGIN
    FOR maker IN
        SELECT DISTINCT n.nspname, pg_get_userbyid(c.relowner) AS owner
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ({schemas}) AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO %I',
                       maker.owner, maker.nspname, {role literal});
    END LOOP;
END $$;

-- The drill's own writes.
{sentinel};
GRANT USAGE ON SCHEMA omtdb TO {role};
GRANT SELECT, INSERT, DELETE ON omtdb.drill_sentinel TO {role};

-- What the generator noted of its data, if there is any: values for the scenarios' plans.
GRANT SELECT ON ALL TABLES IN SCHEMA omtdb TO {role};

-- Keeps writers out, for the time of one transaction: SHARE MODE needs the right to change a table, which is lent here for
-- the lock alone.
CREATE OR REPLACE FUNCTION omtdb.drill_lock() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE root regclass;
BEGIN
    FOR root IN
        SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ({schemas}) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relpersistence = 'p'
        ORDER BY c.oid
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE MODE', root);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION omtdb.drill_lock() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omtdb.drill_lock() TO {role};
