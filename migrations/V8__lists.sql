-- Lists that users keep. A static list has items; a smart one has a filter, whose authority is smart_lists.
CREATE TABLE interaction.user_lists (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users.users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    is_public BOOLEAN NOT NULL DEFAULT FALSE,
    list_type TEXT NOT NULL CHECK (list_type IN ('static', 'smart')),
    filter_definition JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE interaction.list_items (
    list_id UUID NOT NULL REFERENCES interaction.user_lists (id) ON DELETE CASCADE,
    media_id UUID NOT NULL REFERENCES media.media (id) ON DELETE CASCADE,
    position INT,
    added_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (list_id, media_id)
);

CREATE TABLE interaction.smart_lists (
    list_id UUID PRIMARY KEY REFERENCES interaction.user_lists (id) ON DELETE CASCADE,
    filter_definition JSONB NOT NULL
);
