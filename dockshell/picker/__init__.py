"""Picking a container from a list, at a terminal; the only room that knows prompt_toolkit."""
