-- library.db, schema 1: what is published and who may have it. Written by the commands publish, init and enrol, one at a time.
PRAGMA user_version = 1;

CREATE TABLE package (
    infohash TEXT PRIMARY KEY, lesson TEXT NOT NULL, name TEXT NOT NULL,    -- name: of the torrent
    size INTEGER NOT NULL, torrent_sha256 TEXT NOT NULL, torrent_length INTEGER NOT NULL,
    leaves_sha256 TEXT NOT NULL, leaves_length INTEGER NOT NULL, made INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE package_file (
    infohash TEXT NOT NULL REFERENCES package (infohash), path TEXT NOT NULL, root TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (infohash, path)
) WITHOUT ROWID;

-- Lessons of the newest release. `added`: when it was first published.
CREATE TABLE lesson (
    id TEXT PRIMARY KEY, collection TEXT NOT NULL, title TEXT NOT NULL, stage TEXT NOT NULL, subject TEXT NOT NULL,
    edition TEXT NOT NULL, grade TEXT NOT NULL, volume TEXT NOT NULL, unit TEXT NOT NULL,
    infohash TEXT NOT NULL REFERENCES package (infohash), added INTEGER NOT NULL, withdrawn INTEGER
) WITHOUT ROWID;

-- What a source file was when it was last read, so that an unchanged tree is not hashed again.
CREATE TABLE source_file (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    root TEXT NOT NULL, leaves BLOB NOT NULL
) WITHOUT ROWID;

-- Files of objects/, with their leaf lists.
CREATE TABLE object (root TEXT PRIMARY KEY, size INTEGER NOT NULL, leaves BLOB NOT NULL) WITHOUT ROWID;

-- What was made from a file by a program (PDF from PPTX, page images, playing time), so that it is made once.
CREATE TABLE derived (
    root TEXT NOT NULL, recipe TEXT NOT NULL, result TEXT NOT NULL,     -- result: JSON
    PRIMARY KEY (root, recipe)
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

-- Staff who may see the county's pages.
CREATE TABLE staff (name TEXT PRIMARY KEY, password TEXT NOT NULL) WITHOUT ROWID;
