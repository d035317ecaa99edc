-- The least that each group needs. Whatever is not granted here is refused, but to the owner.
-- omtdb: opt-in
--
-- Before this version an application that connects as another role than the owner is made a member of what it needs:
-- GRANT omt_app, omt_auth TO …. What PUBLIC could do before, it can no longer do.
--
-- Leaves are reached through their table, whose privileges decide; nobody is granted a leaf itself.
REVOKE ALL ON SCHEMA media, users, interaction, auth FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA media, users, interaction, auth FROM PUBLIC;

-- Everything but secrets. The application writes the password hash of a new user, and reads and changes none.
GRANT USAGE ON SCHEMA media, users, interaction TO omt_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON media.media, media.external_links, media.relationships TO omt_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON interaction.user_media, interaction.user_lists, interaction.list_items, interaction.smart_lists TO omt_app;
GRANT INSERT, DELETE ON users.users TO omt_app;
GRANT SELECT (id, email, username, role, profile_settings, created_at, updated_at) ON users.users TO omt_app;
GRANT UPDATE (email, username, role, profile_settings, updated_at) ON users.users TO omt_app;

-- Sign-in alone sees password hashes, sessions and tokens. Login events are append-only for everybody.
GRANT USAGE ON SCHEMA users, auth TO omt_auth;
GRANT SELECT (id, email, username, password_hash, role) ON users.users TO omt_auth;
GRANT UPDATE (password_hash, updated_at) ON users.users TO omt_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.sessions, auth.tokens TO omt_auth;
GRANT SELECT, INSERT ON auth.login_events TO omt_auth;

GRANT USAGE ON SCHEMA media, users, interaction TO omt_readonly;
GRANT SELECT ON media.media, media.external_links, media.relationships TO omt_readonly;
GRANT SELECT ON interaction.user_media, interaction.user_lists, interaction.list_items, interaction.smart_lists
    TO omt_readonly;
GRANT SELECT (id, email, username, role, profile_settings, created_at, updated_at) ON users.users TO omt_readonly;

-- Names, no rows.
GRANT USAGE ON SCHEMA media, users, interaction, auth TO omt_monitor;
