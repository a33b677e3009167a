-- One row: who this store is, and where it stands.
CREATE TABLE store_meta (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    epoch     BLOB    NOT NULL CHECK (length(epoch) = 16),
    revision  INTEGER NOT NULL,
    -- Tombstones up to here are gone: an older cursor gets a snapshot.
    compacted INTEGER NOT NULL,
    digest    BLOB    NOT NULL CHECK (length(digest) = 32)
);

-- The newest state of every backend, tombstones included: the state is the log.
CREATE TABLE backend (
    name       TEXT    PRIMARY KEY NOT NULL,
    uid        BLOB    NOT NULL CHECK (length(uid) = 16),
    generation INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    spec       BLOB    NOT NULL,
    deleted    INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    create_ms  INTEGER NOT NULL,
    update_ms  INTEGER NOT NULL
);
CREATE INDEX backend_tombstones ON backend (revision) WHERE deleted = 1;

-- Lets a node that resumes prove what it holds.
CREATE TABLE revision_digest (
    revision INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL CHECK (length(digest) = 32)
);

-- Who changed what. Nothing else depends on it; it may be pruned freely.
CREATE TABLE history (
    revision   INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    op         TEXT    NOT NULL CHECK (op IN ('create', 'update', 'delete')),
    old_hash   BLOB,
    spec       BLOB,
    actor      TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (revision, seq)
) WITHOUT ROWID;

-- Answers already given, so that a request sent twice is done once.
CREATE TABLE request (
    id     TEXT    PRIMARY KEY NOT NULL,
    body   BLOB    NOT NULL,
    answer BLOB    NOT NULL,
    at_ms  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX request_by_age ON request (at_ms);
