import pytest

pytest.register_assert_rewrite("ripresa.testing.store_contract")
