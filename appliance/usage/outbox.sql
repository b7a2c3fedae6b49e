-- outbox.db, schema 1: what this box reports and when it happened. Written by agent alone, read by commands and web.
PRAGMA user_version = 1;

-- stream (16 hex), seq (of the last batch), prev (payload hash of that batch), usage (the usage.db that `watermark` belongs to),
-- watermark (id of the last event that no later session can touch), floor (newest signed time seen so far, unix seconds).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Sessions taken already, some of whose events lie behind the watermark. They are found again and left out.
CREATE TABLE taken (id TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;

-- Every boot in which this box recorded something, in order. floor: newest signed time before it began, 0 when unknown.
CREATE TABLE boot (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL);

-- Moments whose true time is known: seconds since boot, unix seconds, plus or minus; ntp or county.
CREATE TABLE anchor (
    boot TEXT NOT NULL, source TEXT NOT NULL, mono INTEGER NOT NULL, unix INTEGER NOT NULL, uncertainty INTEGER NOT NULL,
    PRIMARY KEY (boot, source, mono)
) WITHOUT ROWID;

-- Sessions that ended and stand in no batch yet. mono and wall in milliseconds.
CREATE TABLE session (
    id TEXT PRIMARY KEY, board TEXT NOT NULL, lesson TEXT NOT NULL, resource TEXT NOT NULL, kind TEXT NOT NULL,
    seconds INTEGER NOT NULL, furthest INTEGER, ended TEXT NOT NULL,
    boot TEXT NOT NULL, mono INTEGER NOT NULL, wall INTEGER NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;

-- Batches that are not acknowledged. A number once given stands for these bytes for ever.
CREATE TABLE batch (
    seq INTEGER PRIMARY KEY, signed BLOB NOT NULL, sessions INTEGER NOT NULL,
    sent_boot TEXT NOT NULL DEFAULT '', sent_mono INTEGER NOT NULL DEFAULT 0,   -- when the county said that it is stored
    refused TEXT NOT NULL DEFAULT ''                                            -- the code with which it was refused
);

-- What `lessonbox status` shows of the agent; values are JSON.
CREATE TABLE status (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE problem (
    code TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (code, subject)
) WITHOUT ROWID;
