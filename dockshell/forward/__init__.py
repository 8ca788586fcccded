"""A container's own ports and Unix sockets, at places of ours: nothing is published, and nothing changes inside."""
