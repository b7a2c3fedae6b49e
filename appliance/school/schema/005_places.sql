-- Where a class stopped: the second of a recording, the page of a document, the question of a quiz. spot: a room's id, or `board:` and
-- a board's id where it stands in no room. turn rises with each change, so the newest is known without a clock.
CREATE TABLE place_in_lesson (
    spot TEXT NOT NULL,
    lesson TEXT NOT NULL,
    resource TEXT NOT NULL,
    position INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (spot, lesson, resource)
) WITHOUT ROWID;
CREATE INDEX place_turn ON place_in_lesson (turn);
