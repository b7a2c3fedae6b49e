-- Rooms and the boards in them. grades: JSON list of grade names, one or several (复式); editions: JSON object, subject -> edition;
-- turns: JSON list of [grade, minutes], who is taught how long in each period of a room with several grades, in this order.
CREATE TABLE room (
    id TEXT PRIMARY KEY,                -- r-<8 hex>
    name TEXT NOT NULL,
    grades TEXT NOT NULL DEFAULT '[]',
    editions TEXT NOT NULL DEFAULT '{}',
    position INTEGER NOT NULL DEFAULT 0,
    turns TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;

-- A browser that showed a page, by its cookie. hand: where its ledge begins, right or left.
CREATE TABLE board (
    id TEXT PRIMARY KEY,                -- 16 hex
    room TEXT REFERENCES room (id) ON DELETE SET NULL,
    hand TEXT NOT NULL DEFAULT 'right'
) WITHOUT ROWID;
CREATE INDEX board_by_room ON board (room);
