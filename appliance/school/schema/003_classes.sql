-- Teachers, who taught, the classes (课时) that this made, and what was said of them. Nothing about children.

-- book: this file's own random name; term_after, term_day: classes up to this number, and days before this one, are of earlier terms.
CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO fact VALUES ('book', lower(hex(randomblob(8))));

-- id: 16 hex, random, all that the county is told unless its policy asks for names. pin: `<salt> <hash>` in hex, scrypt, or null.
-- wrong, wrong_at, wrong_boot: wrong PINs in a row and when the last was tried, seconds of that boot. gone: taken off the list.
CREATE TABLE teacher (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, subjects TEXT NOT NULL DEFAULT '', pin TEXT,
    wrong INTEGER NOT NULL DEFAULT 0, wrong_at INTEGER NOT NULL DEFAULT 0, wrong_boot TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- A name tapped at a board. place: its room, or the board where it has none; mode: teach or watch (听课). mono, wall, over in
-- milliseconds; over: somebody said 下课. settled: what it makes is in `class`.
CREATE TABLE tap (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, teacher TEXT NOT NULL REFERENCES teacher (id),
    place TEXT NOT NULL, board TEXT NOT NULL, mode TEXT NOT NULL,
    boot TEXT NOT NULL, mono INTEGER NOT NULL, wall INTEGER NOT NULL, source TEXT NOT NULL,
    over INTEGER, settled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX tap_open ON tap (settled) WHERE settled = 0;

-- A class, for ever. kind: teach, watch, train; tap: the first tap of it; period: of the timetable, or null. start, uncertainty and
-- clock (docs/usage.md) are null until it can be dated; told: its place among the dated, which the agent goes by.
CREATE TABLE class (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tap TEXT NOT NULL, teacher TEXT NOT NULL,
    place TEXT NOT NULL, kind TEXT NOT NULL, lesson TEXT NOT NULL, title TEXT NOT NULL, seconds INTEGER NOT NULL, period INTEGER,
    boot TEXT NOT NULL, mono INTEGER NOT NULL, wall INTEGER NOT NULL, source TEXT NOT NULL,
    start INTEGER, uncertainty INTEGER, clock TEXT, told INTEGER UNIQUE
);
CREATE INDEX class_by_tap ON class (tap);

-- The class sheet (课堂反馈表) of a tap; it stays on the box. 1 is best, 0 not said. tried, solved: a training's self-test.
CREATE TABLE sheet (
    tap TEXT PRIMARY KEY, fit INTEGER NOT NULL, pupils INTEGER NOT NULL, machine INTEGER NOT NULL, note TEXT NOT NULL,
    solved INTEGER, tried INTEGER
) WITHOUT ROWID;
