"""Connections of `adbc-driver-flightsql` to the server under test."""

import pathlib

from adbc_driver_flightsql import DatabaseOptions, dbapi
from flight_connection import LOCATION
from server import CA_FILE, TOKEN

__all__ = ["DatabaseOptions", "connect", "dbapi"]


def connect(database, token=TOKEN, autocommit=True, **options):
    """Opens a connection. Options have the names of the driver."""
    if token is not None:
        options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
    if database is not None:
        options[f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database"] = database
    if CA_FILE:
        options[DatabaseOptions.TLS_ROOT_CERTS.value] = pathlib.Path(CA_FILE).read_text()
    return dbapi.connect(LOCATION, db_kwargs=options, autocommit=autocommit)
