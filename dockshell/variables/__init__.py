"""The environment of a container, as each of those who hand it on sees it."""
