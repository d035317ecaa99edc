-- Secrets handed out for one purpose each; as with sessions, only their SHA-256 is kept.
CREATE TABLE auth.tokens (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users.users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('email-verification', 'password-reset', 'api')),
    token_hash BYTEA NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);

CREATE INDEX idx_tokens_user_id ON auth.tokens (user_id);
