-- One owner for everything, whoever migrates: no table depends on the login of the person who made it, and nothing that
-- runs with its owner's rights runs with a superuser's.
-- omtdb: opt-in
--
-- Worth the exclusive lock that it takes on every table and leaf: only catalog rows are written, so that all are held for
-- milliseconds, and a lock that is not granted at once takes the whole file back until the next attempt. Parents are locked
-- before their leaves, as queries lock them.
--
-- Before this version an application that owned the tables itself is made a member of omt_app and omt_auth: it loses what it
-- could do as owner.
DO $$
DECLARE
    may boolean := pg_catalog.pg_has_role(CURRENT_USER, 'omt_owner', 'USAGE');
    options text := '';
BEGIN
    IF pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN
        options := ' WITH INHERIT TRUE, SET TRUE';
        may := may AND pg_catalog.pg_has_role(CURRENT_USER, 'omt_owner', 'SET');
    END IF;
    IF NOT may THEN
        RAISE EXCEPTION '% is no member of omt_owner and could migrate no further', CURRENT_USER
            USING HINT = pg_catalog.format('have a superuser run: GRANT omt_owner TO %I%s', CURRENT_USER, options);
    END IF;
END
$$;

ALTER SCHEMA media OWNER TO omt_owner;
ALTER SCHEMA users OWNER TO omt_owner;
ALTER SCHEMA interaction OWNER TO omt_owner;
ALTER SCHEMA auth OWNER TO omt_owner;

ALTER TYPE media.relation_type OWNER TO omt_owner;

ALTER TABLE media.media OWNER TO omt_owner;
ALTER TABLE media.external_links OWNER TO omt_owner;
ALTER TABLE media.relationships OWNER TO omt_owner;
ALTER TABLE users.users OWNER TO omt_owner;
ALTER TABLE interaction.user_media OWNER TO omt_owner;
ALTER TABLE interaction.user_lists OWNER TO omt_owner;
ALTER TABLE interaction.list_items OWNER TO omt_owner;
ALTER TABLE interaction.smart_lists OWNER TO omt_owner;
ALTER TABLE auth.sessions OWNER TO omt_owner;
ALTER TABLE auth.tokens OWNER TO omt_owner;
ALTER TABLE auth.login_events OWNER TO omt_owner;

-- The leaves there are: splits and later months have made others than the first migrations did.
DO $$
DECLARE
    leaf pg_catalog.regclass;
BEGIN
    FOR leaf IN
        SELECT t.relid
        FROM (VALUES (1, 'interaction.user_media'), (2, 'auth.login_events')) AS p (place, name),
            pg_catalog.pg_partition_tree(p.name::pg_catalog.regclass) AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
        WHERE t.level > 0
        ORDER BY p.place, t.level, c.relname
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s OWNER TO omt_owner', leaf);
    END LOOP;
END
$$;

-- What later migrations create as omt_owner. In users and auth nothing is granted by itself to those who only read: what is
-- personal or secret is granted by name. No function may be called by everybody.
ALTER DEFAULT PRIVILEGES FOR ROLE omt_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE omt_owner IN SCHEMA media, interaction, users
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO omt_app;
ALTER DEFAULT PRIVILEGES FOR ROLE omt_owner IN SCHEMA media, interaction GRANT SELECT ON TABLES TO omt_readonly;
