"""Copying files between containers and here: any source of entries to any sink of them (entry.py).

What is on this kernel goes by directory descriptors (tree.py reads, planting.py writes), a container as root too; what
isn't goes as a tar (tar.py), by the engine's archive or by a program inside (remote.py). operands.py has cp's rules for
what is copied to where."""
