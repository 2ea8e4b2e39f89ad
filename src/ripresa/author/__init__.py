"""Ways to write a definition; each gives a program over the same operations of the kernel."""
