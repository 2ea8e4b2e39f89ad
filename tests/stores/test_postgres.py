import pytest

from ripresa.stores.postgres import PostgresStore
from ripresa.testing.store_contract import SharedStoreContract


class TestPostgresStore(SharedStoreContract):
    @pytest.fixture(autouse=True)
    def url(self, postgres_url):
        self.url = postgres_url

    def make_store(self):
        return PostgresStore(self.url, heartbeat_thread=False)
