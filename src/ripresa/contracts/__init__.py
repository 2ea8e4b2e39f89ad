"""Contracts: the shapes of everything that crosses a boundary.  Floor 0: imports nothing of ours."""
