"""Updates of the box's own system and programs (formats.md 18, decision 0039)."""
