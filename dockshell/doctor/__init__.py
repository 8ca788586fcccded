"""What is wrong or dangerous on this machine or with a container, and the command that mends it."""
