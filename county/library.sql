-- library.db, schema 1: what is published and who may have it. Written by the commands, one at a time; read by `county serve`.
PRAGMA user_version = 1;

-- Every package ever made; a package is known here before a release names it. lesson_root: root of its lesson.json,
-- which names all the other files, so that an unchanged lesson is not packed again.
CREATE TABLE package (
    infohash TEXT PRIMARY KEY, lesson TEXT NOT NULL, lesson_root TEXT NOT NULL, name TEXT NOT NULL,   -- name: of the torrent
    size INTEGER NOT NULL, torrent_sha256 TEXT NOT NULL, torrent_length INTEGER NOT NULL,
    leaves_sha256 TEXT NOT NULL, leaves_length INTEGER NOT NULL, made INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX package_by_lesson ON package (lesson, lesson_root);

CREATE TABLE package_file (
    infohash TEXT NOT NULL REFERENCES package (infohash), path TEXT NOT NULL, root TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (infohash, path)
) WITHOUT ROWID;

-- When a lesson was first published; written before the release that brings it.
CREATE TABLE lesson_added (lesson TEXT PRIMARY KEY, added INTEGER NOT NULL) WITHOUT ROWID;

-- Every lesson ever published as it was last. `withdrawn`: when a release left it out (unix seconds); null while it is in the library.
CREATE TABLE lesson (
    id TEXT PRIMARY KEY, collection TEXT NOT NULL, title TEXT NOT NULL, stage TEXT NOT NULL, subject TEXT NOT NULL,
    edition TEXT NOT NULL, grade TEXT NOT NULL, volume TEXT NOT NULL, unit TEXT NOT NULL,
    infohash TEXT NOT NULL REFERENCES package (infohash), withdrawn INTEGER
) WITHOUT ROWID;

-- What a source file was when it was last read, so that an unchanged tree is not read again. path: as the system spells it.
CREATE TABLE source_file (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    root TEXT NOT NULL
) WITHOUT ROWID;

-- Files of objects/, with their leaf lists.
CREATE TABLE object (root TEXT PRIMARY KEY, size INTEGER NOT NULL, leaves BLOB NOT NULL);

-- What was made from a file by a program (PDF from PPTX, page images, playing time), so that it is made once. `tool` is the
-- program and its version: what an older version made well stays in use, what it failed at is tried again.
CREATE TABLE derived (
    root TEXT NOT NULL, recipe TEXT NOT NULL, tool TEXT NOT NULL, result TEXT NOT NULL,     -- result: JSON
    PRIMARY KEY (root, recipe, tool)
) WITHOUT ROWID;

CREATE TABLE release (
    number INTEGER PRIMARY KEY, issued INTEGER NOT NULL, lessons INTEGER NOT NULL, resources INTEGER NOT NULL,
    bytes INTEGER NOT NULL, new_bytes INTEGER NOT NULL
);

CREATE TABLE box (
    id TEXT PRIMARY KEY, school_code TEXT NOT NULL, school_name TEXT NOT NULL, claim TEXT NOT NULL,
    collections TEXT NOT NULL,          -- JSON list of patterns (formats.md 5)
    enrolled INTEGER NOT NULL           -- unix seconds, when the enrolment file was made
) WITHOUT ROWID;

-- What a box is told beside its collections (formats.md 5.1), as JSON; none: everything as by default.
CREATE TABLE policy (box TEXT PRIMARY KEY, policy TEXT NOT NULL) WITHOUT ROWID;

-- The teaching calendar: the week of the term in which a lesson is taught.
CREATE TABLE calendar (lesson TEXT PRIMARY KEY, week INTEGER NOT NULL) WITHOUT ROWID;

-- Staff who may see the county's pages.
CREATE TABLE staff (name TEXT PRIMARY KEY, password TEXT NOT NULL) WITHOUT ROWID;
