"""Something to look at without an image or an engine: a small root made of the host's own programs, and a sandbox to
run it in."""
