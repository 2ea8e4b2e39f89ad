"""Ports: what the engine asks of the world, each verb with its promise."""
