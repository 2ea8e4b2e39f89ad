from functools import cached_property

from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.testing.store_contract import SharedStoreContract, StoreContract


class TestMemoryStore(StoreContract):
    @cached_property
    def database(self):
        return MemoryDatabase()

    def make_store(self):
        return MemoryStore(self.database)


class TestSharedMemoryStore(SharedStoreContract):
    @cached_property
    def database(self):
        return MemoryDatabase()

    def make_store(self):
        return MemoryStore(self.database, shared=True)
