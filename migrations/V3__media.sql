-- Every medium, whatever its type; what only some types have is in attributes.
CREATE TABLE media.media (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    external_id TEXT,
    media_type TEXT NOT NULL,
    media_class public.LTREE NOT NULL,
    title TEXT NOT NULL,
    country_of_origin TEXT,
    creators TEXT[],
    cover_url TEXT,
    description TEXT,
    attributes JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_media_title ON media.media (title);
CREATE UNIQUE INDEX idx_media_external_id_unique ON media.media (external_id);
CREATE INDEX idx_media_attributes ON media.media USING GIN (attributes);
CREATE INDEX idx_media_attr_isbn ON media.media ((attributes->>'isbn'));
CREATE INDEX idx_media_attr_runtime_minutes ON media.media ((attributes->>'runtime_minutes'));
CREATE INDEX idx_media_attr_platforms ON media.media USING GIN ((attributes->'platforms'));
CREATE INDEX idx_media_attr_genres ON media.media USING GIN ((attributes->'genres'));
