-- state.db, schema 3: written by sync alone; can be rebuilt from objects/ and trust/. Read by web, agent and commands.
PRAGMA user_version = 3;

-- release (number of the applied release, 0 before the first), generation (rises whenever what a page shows may have changed),
-- county, box, school_code, school_name, timestamp (its version), issued and expires (unix seconds of the release), applied (digest of what was applied),
-- envelope (its version), envelope_time (unix seconds), enrolled (1 or 0), token (which token the box is to use), ack (JSON as in formats.md 5, or null), collections (JSON list),
-- collect_local (JSON list: ids of local lessons that the county asks for),
-- floor (JSON, core/timefloor.py), term (JSON: `term` and `utc_offset` of the policy, formats.md 5.1; absent keys: not set),
-- cards (JSON: `cards` of the policy, formats.md 5.1).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE collection (
    id TEXT PRIMARY KEY, stage TEXT NOT NULL, subject TEXT NOT NULL, edition TEXT NOT NULL,
    grade TEXT NOT NULL, volume TEXT NOT NULL, position INTEGER NOT NULL
) WITHOUT ROWID;

-- One row a lesson that the release lists in a subscribed collection. `wanted` is the package the release names, `present` the
-- package that teachers see (null: none yet; other than `wanted`: the older version goes on until the newer is whole).
CREATE TABLE lesson (
    id TEXT PRIMARY KEY NOT NULL, collection TEXT NOT NULL REFERENCES collection (id), position INTEGER NOT NULL,
    unit TEXT NOT NULL, unit_no INTEGER, no INTEGER, title TEXT NOT NULL, periods INTEGER NOT NULL,
    kinds TEXT NOT NULL,               -- JSON list, what the release says it holds
    added INTEGER NOT NULL,            -- unix seconds, when the county first published it
    wanted TEXT NOT NULL,              -- infohash
    size INTEGER NOT NULL,
    present TEXT,                      -- infohash
    detail TEXT,                       -- lesson.json of the present package
    arriving INTEGER NOT NULL DEFAULT 0,   -- 1 while blocks of `wanted` are asked for or have come
    have_bytes INTEGER NOT NULL DEFAULT 0, -- verified bytes of `wanted`
    reason TEXT NOT NULL DEFAULT '',   -- why it is not here, for people
    arrived INTEGER,                   -- unix seconds, when `present` became visible (by this box's clock)
    repairing INTEGER NOT NULL DEFAULT 0,  -- 1 from when a file of `present` was found damaged until it is shown again
    week INTEGER                           -- of the teaching calendar (formats.md 5.2), null: the county has set none
);  -- with row ids: rows are long, and found through indexes whose pages then hold hundreds of them
CREATE INDEX lesson_by_collection ON lesson (collection, position, present); -- counting reads no row of lesson
CREATE INDEX lesson_by_present ON lesson (present);
CREATE INDEX lesson_by_arrived ON lesson (arrived);

-- Files of the packages that lessons point at (wanted or present).
CREATE TABLE file (
    infohash TEXT NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (infohash, path)
) WITHOUT ROWID;
CREATE INDEX file_by_root ON file (root);
CREATE INDEX file_by_size ON file (size);

-- Verified, durable files in objects/.
CREATE TABLE object (
    root TEXT PRIMARY KEY, size INTEGER NOT NULL, verified INTEGER NOT NULL
) WITHOUT ROWID;

-- Objects that were found damaged: never forgotten, so that no mark on a file is believed against it, a dying disk is not
-- written to without end, and a page names a repaired file otherwise than the damaged one that a browser may keep.
-- `again`: how often since the scrub last found it whole.
CREATE TABLE repair (root TEXT PRIMARY KEY, times INTEGER NOT NULL, again INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;

-- What lies in drop folders: read once, matched against whatever is wanted now or later. The leaves of a large file stand in
-- parts, so that neither reading nor a file that grows costs more than its new blocks.
CREATE TABLE drop_file (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 TEXT,
    container TEXT,                      -- path of the archive that it is a member of
    archive INTEGER NOT NULL DEFAULT 0,  -- 1: an archive; 2: one of which members were left out
    named INTEGER NOT NULL DEFAULT 0,    -- blocks that packages hold, zero blocks too
    fate INTEGER NOT NULL DEFAULT 0      -- as judged last: 0 no release names it, 1 useful, 2 durable here in every byte
) WITHOUT ROWID;
CREATE INDEX drop_file_by_sha256 ON drop_file (sha256);
CREATE INDEX drop_file_by_container ON drop_file (container);
CREATE TABLE drop_leaves (
    path TEXT NOT NULL, first INTEGER NOT NULL, leaves BLOB NOT NULL,
    named BLOB NOT NULL, names INTEGER NOT NULL, -- one byte a block, and their sum
    matched INTEGER NOT NULL,                    -- 0 until it was compared with what packages hold
    PRIMARY KEY (path, first)
);
-- The files of packages that a drop file holds blocks of.
CREATE TABLE drop_use (path TEXT NOT NULL, root TEXT NOT NULL, PRIMARY KEY (path, root)) WITHOUT ROWID;

-- Of each lesson that is not here in its newest version: how much it is needed (core/calendar.py Need), why it is not here (a code
-- and facts of core/reason.py), when it is expected (unix seconds; null: not known, or the clock is not trusted), and when it made
-- room for others (unix seconds; null: it did not).
CREATE TABLE planned (
    lesson TEXT PRIMARY KEY, need INTEGER NOT NULL, code TEXT NOT NULL, facts TEXT NOT NULL,
    expected_from INTEGER, expected_to INTEGER, evicted INTEGER
) WITHOUT ROWID;

-- The received shelf: files that a person put there; no release names them. Made anew from received/ at each start.
CREATE TABLE received (
    root TEXT PRIMARY KEY, size INTEGER NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;

-- The school's own lessons (本校资料, formats.md 15). Their rows in `lesson` and `collection` have ids that begin with `local-`;
-- `wanted` is their package id, `present` that of what is whole of it. Made anew from local/ at each start.
-- damaged: JSON list, titles of resources that the disk has lost; nothing brings these back.
CREATE TABLE local (
    lesson TEXT PRIMARY KEY, offered INTEGER NOT NULL, basket INTEGER NOT NULL, origin TEXT NOT NULL, damaged TEXT NOT NULL
) WITHOUT ROWID;

-- What sync is doing, as JSON values: sources, space, progress, contact.
CREATE TABLE status (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE problem (
    code TEXT NOT NULL, subject TEXT NOT NULL, message TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (code, subject)
) WITHOUT ROWID;
