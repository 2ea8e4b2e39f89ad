"""Connections of callers: SQLAlchemy's connections and sessions stand for one of a driver's, which the stores know.

Nothing is imported that the caller has not: what is not loaded, nobody can have an object of.
"""

from __future__ import annotations

import sys
from typing import Any


async def of_driver(connection: Any) -> Any:
    """The driver's connection beneath one of SQLAlchemy's, with its transaction begun; any other as it is.

    Raises ValueError if SQLAlchemy's is in no transaction.
    """
    beside = sys.modules.get("sqlalchemy.ext.asyncio")
    if beside is not None:
        if isinstance(connection, beside.AsyncSession | beside.async_scoped_session):
            connection = await connection.connection()
        if isinstance(connection, beside.AsyncConnection):
            _require_transaction(connection)
            await connection.exec_driver_sql("SELECT 1")  # it tells the driver to begin with the first statement
            return (await connection.get_raw_connection()).driver_connection
    orm, core = sys.modules.get("sqlalchemy.orm"), sys.modules.get("sqlalchemy")
    if orm is not None and isinstance(connection, orm.Session | orm.scoped_session):
        connection = connection.connection()
    if core is not None and isinstance(connection, core.Connection):
        _require_transaction(connection)
        connection.exec_driver_sql("SELECT 1")
        return connection.connection.driver_connection
    return connection


def _require_transaction(connection: Any) -> None:
    if not connection.in_transaction():
        raise ValueError(NO_TRANSACTION)


NO_TRANSACTION = "connection: it is not in a transaction: begin one, so that both are written or neither"
