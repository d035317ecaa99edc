-- How media relate to each other, in one direction a row.
CREATE TYPE media.relation_type AS ENUM ('sequel', 'prequel', 'adaptation', 'spin-off', 'shared-universe');

CREATE TABLE media.relationships (
    media_id UUID NOT NULL REFERENCES media.media (id) ON DELETE CASCADE,
    related_media_id UUID NOT NULL REFERENCES media.media (id) ON DELETE CASCADE,
    relation_type media.relation_type NOT NULL,
    notes TEXT,
    weight SMALLINT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (media_id, related_media_id, relation_type)
);

CREATE INDEX idx_relationships_media_id ON media.relationships (media_id);
CREATE INDEX idx_relationships_related_id ON media.relationships (related_media_id);
CREATE INDEX idx_relationships_type ON media.relationships (relation_type);
