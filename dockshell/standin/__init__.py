"""Containers that do not run: a stand-in for one that is stopped, and one that is paused going on for a session."""
