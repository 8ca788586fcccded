"""Keys, host keys, connecting: the client side of SSH. The only room that knows paramiko."""
