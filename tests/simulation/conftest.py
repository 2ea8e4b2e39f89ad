"""A PostgreSQL on which simulations keep their runs, and how long they are looked at there."""

import pytest


@pytest.fixture(scope="session")
def database(postgres):
    """A schema of this session's server; connections and what they have learnt stay from one simulation to the next."""
    from ripresa.testing import SimPostgres

    with SimPostgres(postgres.url) as one:
        yield one
