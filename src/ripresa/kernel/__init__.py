"""The kernel: decides, and does nothing.  Events go in, commands come out; no I/O, clock or dice."""
