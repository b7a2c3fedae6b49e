-- Baskets (备课篮): resources of lessons in an order, while teachers prepare. lesson: the local lesson that it was shared as
-- last (sync makes it, formats.md 15), none before that. current_basket: the one that a board puts things into.
CREATE TABLE basket (
    id TEXT PRIMARY KEY,                -- 16 hex
    name TEXT NOT NULL,
    made INTEGER NOT NULL,              -- counts up: the newest basket first, whatever the clock says
    lesson TEXT
) WITHOUT ROWID;
CREATE TABLE basket_item (
    basket TEXT NOT NULL REFERENCES basket (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    lesson TEXT NOT NULL, resource TEXT NOT NULL,
    title TEXT NOT NULL, kind TEXT NOT NULL, lesson_title TEXT NOT NULL, -- as it was put in: shown when it is here no more
    PRIMARY KEY (basket, lesson, resource)
) WITHOUT ROWID;
CREATE TABLE current_basket (
    board TEXT PRIMARY KEY,             -- 16 hex
    basket TEXT NOT NULL REFERENCES basket (id) ON DELETE CASCADE
) WITHOUT ROWID;
