-- parcels.db: what parcels brought and can't be used yet; written by sync alone. It can be thrown away: the next cycle of the
-- carousel brings it again. `number`: ESI (with the part in the bits above 16) or block. A paper of no bytes only says that it was here.
PRAGMA user_version = 1;
CREATE TABLE shard (id INTEGER PRIMARY KEY, grp TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX shard_by_group ON shard (grp, number);
CREATE TABLE paper (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, path TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE total (bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER shard_came AFTER INSERT ON shard BEGIN UPDATE total SET bytes = bytes + length(NEW.data) + 100; END;
CREATE TRIGGER shard_went AFTER DELETE ON shard BEGIN UPDATE total SET bytes = bytes - length(OLD.data) - 100; END;
CREATE TRIGGER paper_came AFTER INSERT ON paper BEGIN UPDATE total SET bytes = bytes + length(NEW.data) + 200; END;
CREATE TRIGGER paper_went AFTER DELETE ON paper BEGIN UPDATE total SET bytes = bytes - length(OLD.data) - 200; END;
