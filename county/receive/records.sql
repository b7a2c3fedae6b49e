-- Added to reports.db of any age, each time it is opened. What batches said beside sessions (formats.md 7), each record of a box once.

-- Classes (课时). kind: teach, watch, train, or what a newer box says. name: where the box's policy asked for it. flags: as of sessions.
CREATE TABLE IF NOT EXISTS class (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), teacher TEXT NOT NULL, name TEXT,
    place TEXT NOT NULL, kind TEXT NOT NULL, lesson TEXT NOT NULL, start INTEGER NOT NULL, uncertainty INTEGER NOT NULL,
    clock TEXT NOT NULL, seconds INTEGER NOT NULL, flags TEXT NOT NULL, PRIMARY KEY (box, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS class_by_start ON class (start);

-- Wishes: a board asked for a lesson. at: null where the box had no clock.
CREATE TABLE IF NOT EXISTS wish (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), lesson TEXT NOT NULL, board TEXT,
    at INTEGER, PRIMARY KEY (box, id)
) WITHOUT ROWID;

-- Offers of local lessons and their ends; of each lesson the record of the latest batch counts. kinds: JSON object, kind -> how many.
CREATE TABLE IF NOT EXISTS offer (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), place INTEGER NOT NULL, lesson TEXT NOT NULL,
    title TEXT NOT NULL, collection TEXT, kinds TEXT NOT NULL, size INTEGER NOT NULL, offered INTEGER NOT NULL, PRIMARY KEY (box, id)
) WITHOUT ROWID;

-- Files of a box's store that were found damaged. at: by the box's own clock.
CREATE TABLE IF NOT EXISTS damage (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), file TEXT NOT NULL, times INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (box, id)
) WITHOUT ROWID;

-- System updates that boxes tried: `well` 1 when the box runs it, else it went back and `why` says what was wrong.
CREATE TABLE IF NOT EXISTS updated (
    box TEXT NOT NULL, id TEXT NOT NULL, batch INTEGER NOT NULL REFERENCES batch (id), number INTEGER NOT NULL,
    version TEXT NOT NULL, well INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (box, id)
) WITHOUT ROWID;
