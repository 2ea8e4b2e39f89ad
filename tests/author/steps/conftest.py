"""The engine's world – a disk, a clock, a ledger – serves the tests of context-first workflows too."""

from tests.engine.conftest import every_world, memory, pytest_generate_tests, world

__all__ = ["every_world", "memory", "pytest_generate_tests", "world"]
