-- The timetable (课表). Minutes after midnight, local time. No row: the periods that most primary schools have (timetable.py).
CREATE TABLE period (
    no INTEGER PRIMARY KEY,             -- 1 is the first of the day
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL               -- not included
);

-- What a grade has in a period. weeks: 0 every week, 1 odd weeks (单周), 2 even weeks (双周); Monday is weekday 1.
CREATE TABLE slot (
    room TEXT NOT NULL REFERENCES room (id) ON DELETE CASCADE,
    weekday INTEGER NOT NULL, period INTEGER NOT NULL, grade TEXT NOT NULL, weeks INTEGER NOT NULL DEFAULT 0,
    subject TEXT NOT NULL,
    teacher TEXT,                       -- an id of the table teacher; none: whoever stands there
    PRIMARY KEY (room, weekday, period, grade, weeks)
) WITHOUT ROWID;
