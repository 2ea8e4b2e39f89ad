"""Workflow and job files as definitions: what the contract's models say, as graphs that run.

`definition` is what an App is given, `entries` makes nodes of entries, `rendering` values of templates.
"""
