"""Images worth logging in to: an init, supervised services, and what else is asked for, on any Debian or Alpine."""
