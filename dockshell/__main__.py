"""`python -m dockshell`: the command without its script."""

from dockshell.cli import main

if __name__ == "__main__":
    main()
