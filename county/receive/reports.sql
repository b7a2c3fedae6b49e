-- reports.db, schema 1: what boxes reported. The most precious file of a county. Written by `serve` and `reports import`,
-- each with one writer thread; every write is one immediate transaction, durable before anything is answered.
PRAGMA user_version = 1;

-- The one key of each box, bound by its claim; that a row is here means that the claim is used up.
CREATE TABLE box_key (
    box TEXT PRIMARY KEY, public_key TEXT NOT NULL, bound INTEGER NOT NULL      -- bound: unix seconds
) WITHOUT ROWID;

-- Every accepted batch, once. payload: the signed bytes, zlib. flags: words, space-separated; `chain`: `prev` is not the hash of
-- the batch before it; `repeat`: a session or record of it had come in another batch already and is not counted again; `unknown`: it holds lists that this program
-- could not read; `unread`: a list of it that an older program could not read is damaged.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, box TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, payload_sha256 TEXT NOT NULL,
    prev TEXT NOT NULL, received INTEGER NOT NULL, road TEXT NOT NULL, signatures TEXT NOT NULL, payload BLOB NOT NULL,
    flags TEXT NOT NULL, UNIQUE (box, stream, seq)
);

-- Sessions of all batches, for statistics; can be made again from the batches. start: unix seconds, ± uncertainty.
-- flags: `future`: it begins more than two days after it was received; `long`: over a day. Flagged sessions are not counted.
CREATE TABLE session (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), board TEXT NOT NULL, lesson TEXT NOT NULL,
    resource TEXT NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL, uncertainty INTEGER NOT NULL, clock TEXT NOT NULL,
    seconds INTEGER NOT NULL, furthest INTEGER, ended TEXT NOT NULL, flags TEXT NOT NULL, PRIMARY KEY (box, id)
) WITHOUT ROWID;
CREATE INDEX session_by_start ON session (start);
CREATE INDEX session_by_box ON session (box, start);

-- The last that was heard of each box, in any accepted batch, new or repeated; `stream` is what its envelope acknowledges.
CREATE TABLE heard (
    box TEXT PRIMARY KEY, at INTEGER NOT NULL, road TEXT NOT NULL, stream TEXT NOT NULL, release INTEGER NOT NULL,
    software TEXT NOT NULL
) WITHOUT ROWID;

-- What was refused and by which code. The payload is kept only when the box's own key signed it.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, box TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, payload_sha256 TEXT NOT NULL,
    code TEXT NOT NULL, reason TEXT NOT NULL, received INTEGER NOT NULL, road TEXT NOT NULL, payload BLOB,
    UNIQUE (box, stream, seq, payload_sha256, code)
);

-- The newest envelope of each box. Kept before it is served, so that no version is ever given twice.
CREATE TABLE envelope (
    box TEXT PRIMARY KEY, version INTEGER NOT NULL, made INTEGER NOT NULL, content TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
