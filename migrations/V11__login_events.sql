-- Every attempt to sign in, also those for users that do not exist. A leaf a month (of UTC), so that an old month goes by
-- dropping its leaf; the default leaf keeps a login from failing because a month is missing.
--
-- Append-only is a matter of privileges: the application's role is granted SELECT and INSERT, nothing more. A trigger
-- that refuses DELETE would also refuse to delete a user, whose events go with them.
CREATE TABLE auth.login_events (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    occurred_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    user_id UUID REFERENCES users.users (id) ON DELETE CASCADE,
    email_attempted TEXT,
    ip INET,
    user_agent TEXT,
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'wrong-password', 'unknown-user', 'locked')),
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX idx_login_events_user_id ON auth.login_events (user_id, occurred_at);

CREATE TABLE auth.login_events_y2026m01 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m02 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m03 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-04-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m04 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-04-01 00:00:00+00') TO ('2026-05-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m05 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-05-01 00:00:00+00') TO ('2026-06-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m06 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-06-01 00:00:00+00') TO ('2026-07-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m07 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-07-01 00:00:00+00') TO ('2026-08-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m08 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-08-01 00:00:00+00') TO ('2026-09-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m09 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-09-01 00:00:00+00') TO ('2026-10-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m10 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-10-01 00:00:00+00') TO ('2026-11-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m11 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');
CREATE TABLE auth.login_events_y2026m12 PARTITION OF auth.login_events
    FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m01 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m02 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-03-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m03 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-03-01 00:00:00+00') TO ('2027-04-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m04 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-04-01 00:00:00+00') TO ('2027-05-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m05 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-05-01 00:00:00+00') TO ('2027-06-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m06 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-06-01 00:00:00+00') TO ('2027-07-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m07 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-07-01 00:00:00+00') TO ('2027-08-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m08 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-08-01 00:00:00+00') TO ('2027-09-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m09 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-09-01 00:00:00+00') TO ('2027-10-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m10 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-10-01 00:00:00+00') TO ('2027-11-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m11 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-11-01 00:00:00+00') TO ('2027-12-01 00:00:00+00');
CREATE TABLE auth.login_events_y2027m12 PARTITION OF auth.login_events
    FOR VALUES FROM ('2027-12-01 00:00:00+00') TO ('2028-01-01 00:00:00+00');
CREATE TABLE auth.login_events_default PARTITION OF auth.login_events DEFAULT;
