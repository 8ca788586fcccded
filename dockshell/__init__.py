"""dockshell: a shell or a command in any container, by the best way in."""

__version__ = "0.1.0"
