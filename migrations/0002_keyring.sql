-- The keys with which nodes seal what clients carry for them. Not part of any revision.
CREATE TABLE keyring (
    id       INTEGER PRIMARY KEY,
    secret   BLOB    NOT NULL CHECK (length(secret) = 32),
    -- coming: nodes learn it; active: it seals; leaving: it opens what it has sealed.
    state    TEXT    NOT NULL CHECK (state IN ('coming', 'active', 'leaving')),
    since_ms INTEGER NOT NULL
);
