-- Who may do what: groups that logins are made members of, so that nobody needs to be superuser or owner to do their work.
-- omtdb: opt-in
--
-- omt_owner owns everything; whoever migrates is a member. omt_app reads and writes media, users and libraries, omt_auth
-- signs users in, omt_readonly reads what is not secret, omt_monitor sees how the server does but no row, omt_backup reads
-- everything for a logical backup.
--
-- REPLICATION is not given to omt_backup: it is no privilege but an attribute, which members do not inherit. A login that
-- takes physical backups is altered itself: ALTER ROLE … REPLICATION.
--
-- Before this version an application has nothing to do. Roles belong to the whole cluster: they may be there already, or be
-- made for another database at this very moment.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['omt_owner', 'omt_app', 'omt_auth', 'omt_readonly', 'omt_monitor', 'omt_backup'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted);
        BEGIN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                -- Somebody else was faster.
                NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not create role %', CURRENT_USER, wanted
                    USING HINT = pg_catalog.format('have a superuser run: CREATE ROLE %I NOLOGIN', wanted);
        END;
    END LOOP;
END
$$;

-- Memberships. What this role cannot give is said and left to a superuser: from PostgreSQL 16 on PostgreSQL's own groups, and
-- groups that another role has made. Only membership in omt_owner is needed, by V14.
DO $$
DECLARE
    has_options boolean := pg_catalog.current_setting('server_version_num')::integer >= 160000;
    is_superuser boolean := (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER);
    given text;
    taker text;
    wanted text;
    has_it boolean;
BEGIN
    FOR given, taker IN
        VALUES ('omt_owner', CURRENT_USER::text), ('pg_monitor', 'omt_monitor'), ('pg_read_all_data', 'omt_backup')
    LOOP
        -- A superuser is a member of everything.
        CONTINUE WHEN given = 'omt_owner' AND is_superuser;
        wanted := pg_catalog.format('GRANT %I TO %I', given, taker);
        IF has_options THEN
            -- Who creates a role there may give it to others, and to itself, but is no member by that alone.
            wanted := wanted || ' WITH INHERIT TRUE, SET TRUE';
        END IF;
        FOR attempt IN 1..10 LOOP
            has_it := pg_catalog.pg_has_role(taker, given, 'USAGE');
            IF has_it AND has_options THEN
                has_it := pg_catalog.pg_has_role(taker, given, 'SET');
            END IF;
            EXIT WHEN has_it;
            BEGIN
                EXECUTE wanted;
                EXIT;
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE WARNING '% may not make % a member of %', CURRENT_USER, taker, given
                        USING HINT = 'have a superuser run: ' || wanted;
                    EXIT;
                WHEN unique_violation OR internal_error THEN
                    -- Another migrator gives it at this moment ("tuple concurrently updated").
                    IF attempt = 10 THEN
                        RAISE;
                    END IF;
            END;
        END LOOP;
    END LOOP;
END
$$;

-- A role of the name that was there already must not be more than a group.
DO $$
DECLARE
    role_name text;
BEGIN
    SELECT r.rolname INTO role_name
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ('omt_owner', 'omt_app', 'omt_auth', 'omt_readonly', 'omt_monitor', 'omt_backup')
        AND (r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls)
    ORDER BY r.rolname
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role % was there already, and may do more than a group of privileges should', role_name
            USING HINT = pg_catalog.format(
                'ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS', role_name);
    END IF;
END
$$;
