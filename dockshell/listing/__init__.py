"""What `ls` and whoever else shows containers knows of each: the engines' listings, and what can be told of the shell
inside and of the ways in."""
