"""Graphs: nodes that start when what they depend on has ended.

`plan` is the one form that every way of writing a graph is compiled to, `rules` decides, `course` walks,
`program` is the durable program; `dag` is the way to write one in Python.
"""
