import pytest

from ripresa.stores.sqlite import SqliteStore
from ripresa.testing.store_contract import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def path(self, tmp_path):
        self.path = tmp_path / "new" / "runs.db"

    def make_store(self):
        return SqliteStore(self.path, heartbeat_thread=False)
