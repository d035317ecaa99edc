-- What each user has, wants and thinks of it: the largest table, a leaf for each sixteenth of the users, so that whatever
-- names a user reads one leaf. Leaves are named by their bound: 32nds made by a later split fit in beside them.
CREATE TABLE interaction.user_media (
    user_id UUID NOT NULL REFERENCES users.users (id) ON DELETE CASCADE,
    media_id UUID NOT NULL REFERENCES media.media (id) ON DELETE CASCADE,
    status TEXT NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'in-progress', 'completed', 'dropped')),
    progress INT,
    rating SMALLINT CHECK (rating >= 1 AND rating <= 10),
    notes TEXT,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    meta_snapshot JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (user_id, media_id)
) PARTITION BY HASH (user_id);

CREATE TABLE interaction.user_media_m16_r00 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 0);
CREATE TABLE interaction.user_media_m16_r01 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 1);
CREATE TABLE interaction.user_media_m16_r02 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 2);
CREATE TABLE interaction.user_media_m16_r03 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 3);
CREATE TABLE interaction.user_media_m16_r04 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 4);
CREATE TABLE interaction.user_media_m16_r05 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 5);
CREATE TABLE interaction.user_media_m16_r06 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 6);
CREATE TABLE interaction.user_media_m16_r07 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 7);
CREATE TABLE interaction.user_media_m16_r08 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 8);
CREATE TABLE interaction.user_media_m16_r09 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 9);
CREATE TABLE interaction.user_media_m16_r10 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 10);
CREATE TABLE interaction.user_media_m16_r11 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 11);
CREATE TABLE interaction.user_media_m16_r12 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 12);
CREATE TABLE interaction.user_media_m16_r13 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 13);
CREATE TABLE interaction.user_media_m16_r14 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 14);
CREATE TABLE interaction.user_media_m16_r15 PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 16, REMAINDER 15);

CREATE INDEX idx_user_media_user_id ON interaction.user_media (user_id);
CREATE INDEX idx_user_media_user_status ON interaction.user_media (user_id, status);
CREATE INDEX idx_user_media_media_id ON interaction.user_media (media_id);
CREATE INDEX idx_user_media_status ON interaction.user_media (status);
