"""Credentials: told from plain data by the shapes that providers publish, and by the names that people give them.

A definition holds references to secrets, never secrets.  What is found here is refused, and is shown nowhere: not in
messages, not in source lines, not in JSON.

Own tables rather than a scanner's: the scanners for repositories look at lines of files, and loading one costs more
than checking a definition of a thousand jobs; here keys, values and places are known, which tells more than a line.
"""

from ripresa.contracts.credentials.names import promises_credential
from ripresa.contracts.credentials.scan import MASK, assigned_in, found_in, masked, named

__all__ = ["MASK", "assigned_in", "found_in", "masked", "named", "promises_credential"]
