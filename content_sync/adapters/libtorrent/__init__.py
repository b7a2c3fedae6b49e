"""Everything that touches libtorrent. `session` holds the only import of it in this repository."""
