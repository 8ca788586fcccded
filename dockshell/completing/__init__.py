"""What may come next on a half-typed line: containers, what options take, and what is in a container."""
