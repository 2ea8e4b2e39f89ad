"""The commands, a module for each of their families; loaded when one of them is used."""
