"""dockshell side by side with what one would type instead: `python -m benchmarks`, or `./dev bench`."""
