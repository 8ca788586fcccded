"""The server side of SSH: any SSH client into any container, with or without an sshd in it. The only room that knows
asyncssh."""
