-- usage.db, schema 1: what boards reported, one row an event. Written by web alone, read by agent.
PRAGMA user_version = 1;

-- id: this file's own random name (the agent's watermark belongs to it: a new file counts from 1 again).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- AUTOINCREMENT: an id is never used twice, whatever was pruned.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    board TEXT NOT NULL, lesson TEXT NOT NULL, resource TEXT NOT NULL, kind TEXT NOT NULL,
    visit TEXT NOT NULL,               -- one page load of one resource
    type TEXT NOT NULL,                -- open, play, ping, pause, ended, close
    at INTEGER,                        -- the page's own monotonic milliseconds
    position INTEGER,                  -- second or page
    origin TEXT NOT NULL,              -- server or page
    boot TEXT NOT NULL,                -- the clock facts of this box when the event came
    mono INTEGER NOT NULL,             -- milliseconds since boot (CLOCK_BOOTTIME)
    wall INTEGER NOT NULL,             -- milliseconds of the system clock, right or wrong
    source TEXT NOT NULL               -- ntp or system
);
