"""dockshell for programs."""
