"""The terminal: parse, one call, render.  Floor 6: an edge, and thin.

`catalogue` says which commands there are, `group` loads one when it is used, `commands/` hold them;
`exits` turns errors into one line and an exit code.  Results go to stdout, everything else to stderr.
"""
