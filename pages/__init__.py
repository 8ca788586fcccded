"""The pages that are made and not written: man/dockshell.1, docs/dockshell.svg. `./dev pages` makes them anew."""
