"""What a school keeps on its own box: rooms, timetable, teachers and what they leave here (school.db)."""
