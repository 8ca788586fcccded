"""The kernel by subject, a file each. Nothing here knows of engines or containers."""
