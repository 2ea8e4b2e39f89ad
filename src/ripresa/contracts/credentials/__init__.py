"""Credentials: told from plain data by the shapes that providers publish, and by the names that people give them.

A definition holds references to secrets, never secrets.  What is found here is refused, and is shown nowhere: not in
messages, not in source lines, not in JSON.

Own tables rather than those of detect-secrets 1.5, which looks at lines of files: loading it took ten times as long
when measured, and it read some 5,000 lines a second, too few for large definitions.  Here keys, values and places are
known, which tells more than a line does.
"""

from ripresa.contracts.credentials.names import promises_credential
from ripresa.contracts.credentials.scan import MASK, assigned_in, found_in, masked, named

__all__ = ["MASK", "assigned_in", "found_in", "masked", "named", "promises_credential"]
