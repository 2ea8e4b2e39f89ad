"""Torture: real engines on a real database, under faults, and the proof that nothing was lost or done twice.

It is the command `ripresa torture`; `docs/reliability.md` tells what it does and what it has shown.  Nothing is
imported here, as its processes run its modules as programs: `session.Session` is the way in.
"""
