"""The Iceberg catalog of the server, attached by PyIceberg and DuckDB.

    NEAP_URL=... NEAP_TOKEN=... NEAP_BIN=target/debug/neap NEAP_STORE='["--data-dir", "data"]' \
        python -m unittest iceberg_catalog

The variables are those of `iceberg_tables.py`.
"""

import unittest

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError, NoSuchNamespaceError, NoSuchTableError, UnauthorizedError

import server
from iceberg_tables import DAY, PROPERTIES, START, answer, duckdb_with_iceberg, publish, rows_of

URI = f"{server.URL}/iceberg"
# The catalog itself says where the store is.
CREDENTIALS = {name: value for name, value in PROPERTIES.items() if "key" in name}


def pyiceberg_catalog(token=server.TOKEN):
    return RestCatalog("neap", uri=URI, token=token, **CREDENTIALS)


def read_with_pyiceberg(catalog, database, table):
    """Returns the rows of a table of which all files have all columns."""
    found = catalog.load_table((database, table)).scan().to_arrow()
    return rows_of(found.column_names, zip(*(column.to_pylist() for column in found.columns)))


def attach_with_duckdb():
    """Returns a connection on which the catalog is the database `neap`."""
    connection = duckdb_with_iceberg()
    connection.execute(f"CREATE SECRET catalog_token (TYPE iceberg, TOKEN '{server.TOKEN}')")
    if CREDENTIALS:
        host = PROPERTIES["s3.endpoint"].removeprefix("http://")
        connection.execute(
            f"CREATE SECRET bucket (TYPE s3, KEY_ID '{PROPERTIES['s3.access-key-id']}', REGION 'us-east-1',"
            f" SECRET '{PROPERTIES['s3.secret-access-key']}', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
        )
    connection.execute(f"ATTACH '' AS neap (TYPE iceberg, ENDPOINT '{URI}')")
    return connection


def read_with_duckdb(connection, database, table):
    found = connection.execute(f'SELECT * FROM neap."{database}"."{table}"')
    return rows_of([column[0] for column in found.description], found.fetchall())


class Catalog(unittest.TestCase):
    maxDiff = 4_000

    def test_an_attached_catalog_has_the_rows_of_the_newest_publication(self):
        database = "catalog-rows"
        server.create_database(database)
        catalog = pyiceberg_catalog()
        self.assertIn((database,), catalog.list_namespaces())
        self.assertEqual(catalog.list_tables(database), [])
        connection = None
        for day in range(3):
            rows = (f"m,host=h{row % 3} v={row * 0.1},i={row - 5}i {START + day * DAY + row * 10**9}" for row in range(10))
            server.write_lines(database, *rows)
            publish(database)
            expected = answer(database, "m", ["time", "host", "v", "i"])
            self.assertEqual(len(expected), 10 * (day + 1))
            self.assertEqual(read_with_pyiceberg(catalog, database, "m"), expected)
            connection = connection or attach_with_duckdb()
            self.assertEqual(read_with_duckdb(connection, database, "m"), expected)
        self.assertEqual(catalog.list_tables(database), [(database, "m")])

    def test_what_is_missing_is_named(self):
        database = "catalog-missing"
        server.create_database(database)
        server.write_lines(database, f"unpublished v=1 {START}")
        catalog = pyiceberg_catalog()
        self.assertTrue(catalog.namespace_exists(database))
        self.assertFalse(catalog.namespace_exists("nowhere"))
        self.assertFalse(catalog.table_exists((database, "unpublished")))
        with self.assertRaisesRegex(NoSuchTableError, "table is not published: unpublished"):
            catalog.load_table((database, "unpublished"))
        with self.assertRaisesRegex(NoSuchTableError, "table not found: nothing"):
            catalog.load_table((database, "nothing"))
        with self.assertRaises(NoSuchNamespaceError):
            catalog.list_tables("nowhere")

    def test_a_token_reads_its_databases_alone(self):
        database, other = "catalog-own", "catalog-other"
        for name in (database, other):
            server.create_database(name)
            server.write_lines(name, f"m,host=a v=1 {START}")
            publish(name)
        catalog = pyiceberg_catalog(server.create_token("catalog reader", (database, "read"), (other, "write")))
        self.assertEqual(catalog.list_namespaces(), [(database,)])
        self.assertEqual(len(read_with_pyiceberg(catalog, database, "m")), 1)
        with self.assertRaises(ForbiddenError):
            catalog.load_table((other, "m"))
        with self.assertRaises(ForbiddenError):
            catalog.table_exists((other, "m"))
        with self.assertRaises(ForbiddenError):
            pyiceberg_catalog(server.create_token("catalog writer", (other, "write")))
        with self.assertRaises(UnauthorizedError):
            pyiceberg_catalog("unknown")


if __name__ == "__main__":
    unittest.main()
