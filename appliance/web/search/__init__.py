"""Finding lessons by words and by sound (decision 0021)."""
