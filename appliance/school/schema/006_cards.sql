-- Lessons that the school office pushes to rooms. rooms: JSON list of room ids, empty: all. until: unix seconds, null: no end.
-- made: unix seconds, null when the clock was not trusted; number rises with each card, so the newest is known without a clock.
CREATE TABLE card (
    id TEXT PRIMARY KEY,                -- c-<8 hex>
    number INTEGER NOT NULL,
    lesson TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    rooms TEXT NOT NULL DEFAULT '[]',
    until INTEGER,
    made INTEGER
) WITHOUT ROWID;

-- What became of a card, the school's or the county's (`county:` and its id), in a spot: a room's id, or `board:` and a board's id
-- where it stands in no room. opened, away: 1 when somebody opened it, put it away; at: when that was last, null as above.
CREATE TABLE card_seen (
    card TEXT NOT NULL,
    spot TEXT NOT NULL,
    opened INTEGER NOT NULL DEFAULT 0,
    away INTEGER NOT NULL DEFAULT 0,
    at INTEGER,
    PRIMARY KEY (card, spot)
) WITHOUT ROWID;
CREATE INDEX card_seen_spot ON card_seen (spot);
