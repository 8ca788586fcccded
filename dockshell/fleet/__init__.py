"""One command in many containers at once."""
