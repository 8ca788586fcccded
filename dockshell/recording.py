"""A recording of a session, as asciinema plays it."""
