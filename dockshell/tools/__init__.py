"""Tools for containers that have none: what there is to bring, and how it is found."""
