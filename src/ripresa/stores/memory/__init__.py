"""The memory store: every promise of the port but the one to outlive the process."""

from ripresa.stores.memory.database import MemoryDatabase
from ripresa.stores.memory.store import MemoryStore

__all__ = ["MemoryDatabase", "MemoryStore"]
