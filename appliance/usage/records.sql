-- Added to outbox.db of any age, each time it is opened: an older program leaves these tables alone.

-- Classes, wishes, offers that stand in no batch yet. list: classes, wishes, offers (formats.md 7); body: the record as JSON.
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (list, id)
);

-- What was last taken of each thing: a wish by its file, while that is there, an offer by its lesson.
CREATE TABLE IF NOT EXISTS told (
    list TEXT NOT NULL, key TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (list, key)
) WITHOUT ROWID;

-- book: the school.db that `classes` belongs to; classes: the last of its classes that was taken.
INSERT OR IGNORE INTO meta (key, value) VALUES ('book', ''), ('classes', '0');
