"""The DB API and SQLAlchemy dialect of Flight SQL, `flightsql-dbapi`, as Superset uses it.

| of the library | tests |
|---|---|
| the dialect `datafusion+flightsql`: connection URLs, reflection, expressions, statements of Superset | `Dialect` |
| prepared statements of the dialect: without values only | `PreparedStatements` |
| `connect`, `Connection`, `Cursor` | `DbApi` |
| `FlightSQLClient`: every command, prepared statements | `Client` |
| user and password, tokens, errors | `Access` |
"""

import datetime
import unittest
import urllib.parse

import flightsql.flightsql_pb2 as flight_sql
import flightsql.sqlalchemy  # noqa: F401: registers the dialect
import pyarrow
import sqlalchemy
from flight_connection import TIMEOUT
from flightsql import FlightSQLClient, connect
from flightsql.client import FlightSQLCallOptions, TableRef
from pyarrow import flight
from server import HOST, PORT, TOKEN, TestCase, create_token, write_lines
from sqlalchemy import func, select

DATABASE = "superset"
QUERY = "SELECT room, temp, co FROM home ORDER BY room"


def setUpModule():
    write_lines(
        DATABASE,
        'home,room=Kitchen temp=21.5,co=7i,count=1u,open=true,note="ok" 1641024000000000000',
        'home,room=Attic temp=20.5,co=8i,count=2u,open=false,note="x" 1641027600000000000',
        "hall,place=a_b v=1 1",
    )


def url(database=DATABASE, user="", **options):
    options = {"insecure": "true", "token": TOKEN, "database": database, **options}
    query = urllib.parse.urlencode({name: value for name, value in options.items() if value is not None})
    return f"datafusion+flightsql://{user}{HOST}:{PORT}?{query}"


def client(database=DATABASE, **options):
    options = {"host": HOST, "port": int(PORT), "token": TOKEN, "insecure": True, **options}
    return FlightSQLClient(metadata={"database": database}, **options)


class EngineTest(TestCase):
    options = {}

    def setUp(self):
        self.engine = sqlalchemy.create_engine(url(**self.options))
        self.addCleanup(self.engine.dispose)

    def rows(self, statement, *arguments):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement, *arguments)]

    def table(self, name="home"):
        return sqlalchemy.Table(name, sqlalchemy.MetaData(schema="iox"), autoload_with=self.engine)


class Dialect(EngineTest):
    def test_schemas_and_tables(self):
        inspector = sqlalchemy.inspect(self.engine)
        self.assertGreaterEqual(set(inspector.get_schema_names()), {"iox", "system", "information_schema"})
        self.assertEqual(sorted(inspector.get_table_names("iox")), ["hall", "home"])
        self.assertIn("queries", inspector.get_table_names("system"))
        self.assertTrue(inspector.has_table("home", "iox"))
        self.assertFalse(inspector.has_table("nothing", "iox"))
        self.assertEqual(inspector.get_view_names("iox"), [])
        self.assertEqual(inspector.get_indexes("home", "iox"), [])

    def test_columns(self):
        columns = sqlalchemy.inspect(self.engine).get_columns("home", "iox")
        types = {column["name"]: type(column["type"]) for column in columns}
        self.assertEqual(
            types,
            {
                "co": sqlalchemy.types.BIGINT,
                "count": sqlalchemy.types.BIGINT,
                "note": sqlalchemy.types.TEXT,
                "open": sqlalchemy.types.BOOLEAN,
                "room": sqlalchemy.types.TEXT,
                "temp": sqlalchemy.types.FLOAT,
                "time": sqlalchemy.types.TIMESTAMP,
            },
        )
        self.assertEqual([column["name"] for column in columns if not column["nullable"]], ["time"])

    def test_reflection_of_all_tables(self):
        metadata = sqlalchemy.MetaData(schema="iox")
        metadata.reflect(bind=self.engine)
        self.assertEqual([table.name for table in metadata.sorted_tables], ["hall", "home"])

    def test_expressions(self):
        home = self.table()
        self.assertEqual(self.rows(select(func.count()).select_from(home)), [(2,)])
        statement = select(home.c.room, home.c.temp).where(home.c.temp > 21, home.c.room == "Kitchen")
        self.assertEqual(self.rows(statement), [("Kitchen", 21.5)])
        statement = select(home.c.room, func.max(home.c.co).label("co")).group_by(home.c.room).order_by(home.c.room)
        self.assertEqual(self.rows(statement), [("Attic", 8), ("Kitchen", 7)])
        statement = select(home.c.room).order_by(home.c.time.desc()).limit(1).offset(1)
        self.assertEqual(self.rows(statement), [("Kitchen",)])
        self.assertEqual(self.rows(select(home.c.room).where(home.c.room == "it's")), [])

    def test_statements_of_superset(self):
        # A chart by time, a table of a data set, the values of a filter, and a preview.
        query = """SELECT DATE_TRUNC('hour', time) AS __timestamp, room AS room, AVG(temp) AS "AVG(temp)"
            FROM iox.home
            WHERE time >= '2022-01-01 00:00:00.000000' AND time < '2022-01-02 00:00:00.000000'
            GROUP BY room, DATE_TRUNC('hour', time) ORDER BY "AVG(temp)" DESC LIMIT 10000"""
        hour = datetime.datetime(2022, 1, 1, 8)
        rows = self.rows(sqlalchemy.text(query))
        self.assertEqual([row[1:] for row in rows], [("Kitchen", 21.5), ("Attic", 20.5)])
        self.assertEqual(rows[0][0], hour)
        self.assertEqual(
            self.rows(sqlalchemy.text("SELECT DISTINCT room FROM iox.home ORDER BY room LIMIT 1000")),
            [("Attic",), ("Kitchen",)],
        )
        preview = "SELECT * FROM (SELECT room, co FROM iox.home) AS virtual_table ORDER BY co LIMIT 1001"
        self.assertEqual(self.rows(sqlalchemy.text(preview)), [("Kitchen", 7), ("Attic", 8)])
        self.assertEqual(self.rows(sqlalchemy.text('SELECT "room" FROM "iox"."home" WHERE "co" = 8')), [("Attic",)])
        self.assertEqual(self.rows(sqlalchemy.text("SELECT 1")), [(1,)])

    def test_names_of_columns(self):
        with self.engine.connect() as connection:
            answer = connection.execute(sqlalchemy.text(QUERY))
            self.assertEqual(list(answer.keys()), ["room", "temp", "co"])
            self.assertEqual([row._mapping["room"] for row in answer], ["Attic", "Kitchen"])

    def test_an_answer_without_rows(self):
        self.assertEqual(self.rows(sqlalchemy.text("SELECT * FROM iox.home WHERE room = 'nowhere'")), [])

    def test_errors(self):
        with self.assertRaises(Exception) as caught:
            self.rows(sqlalchemy.text("SELECT nothing FROM iox.home"))
        self.assertIn("nothing", str(caught.exception))
        self.assertEqual(self.rows(sqlalchemy.text("SELECT 1")), [(1,)])

    def test_a_user_with_the_token_as_password(self):
        engine = sqlalchemy.create_engine(url(user=f"anyone:{urllib.parse.quote(TOKEN)}@", token=None))
        with engine.connect() as connection:
            self.assertEqual(connection.execute(sqlalchemy.text("SELECT count(*) FROM iox.home")).scalar(), 2)
        engine.dispose()


class PreparedStatements(EngineTest):
    """Values of placeholders, which the dialect sends only with this feature.

    The handle of a prepared statement contains its values, so that servers keep no state. This client does not use the
    handle with the values that it receives, and executes the statement without values.
    """

    options = {"feature-sqlalchemy-prepared-statements": "on"}

    def test_statements_without_values(self):
        home = self.table()
        self.assertEqual(self.rows(select(home.c.room).order_by(home.c.room)), [("Attic",), ("Kitchen",)])

    def test_values_are_missed(self):
        home = self.table()
        with self.assertRaises(Exception) as caught:
            self.rows(select(home.c.room).where(home.c.room == "Kitchen"))
        self.assertRegex(str(caught.exception), "[Pp]laceholder|[Pp]arameter")


class DbApi(TestCase):
    def setUp(self):
        self.connection = connect(client())
        self.addCleanup(self.connection.client.close)

    def test_a_cursor(self):
        cursor = self.connection.cursor()
        cursor.execute(QUERY)
        self.assertEqual([name for name, _ in cursor.description], ["room", "temp", "co"])
        self.assertEqual(cursor.rowcount, 2)
        self.assertEqual(cursor.fetchone(), ["Attic", 20.5, 8])
        self.assertEqual(cursor.fetchmany(1), [["Kitchen", 21.5, 7]])
        self.assertEqual(cursor.fetchall(), [])
        self.assertEqual(list(cursor.execute(QUERY)), [["Attic", 20.5, 8], ["Kitchen", 21.5, 7]])

    def test_values_are_missed(self):
        # The reason is the one of `PreparedStatements`.
        for value in ["text", -5, 1.5, True, b"bytes"]:
            with self.subTest(value), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.connection.execute("SELECT room FROM home WHERE room = $1", (value,))
            self.assertIn("$1", str(caught.exception))

    def test_keys(self):
        # Rows with the same tags and time are one row.
        keys = self.connection.flightsql_get_primary_keys("home")
        self.assertEqual([key["column_name"] for key in keys], ["room", "time"])
        self.assertEqual(self.connection.flightsql_get_primary_keys("nothing"), [])
        self.assertEqual(self.connection.flightsql_get_foreign_keys("home"), [])

    def test_information_about_the_server(self):
        codes = [
            flight_sql.FLIGHT_SQL_SERVER_NAME,
            flight_sql.FLIGHT_SQL_SERVER_VERSION,
            flight_sql.FLIGHT_SQL_SERVER_ARROW_VERSION,
            flight_sql.FLIGHT_SQL_SERVER_READ_ONLY,
            flight_sql.SQL_IDENTIFIER_QUOTE_CHAR,
        ]
        info = self.connection.flightsql_get_sql_info(codes)
        self.assertEqual(set(info), set(codes))
        self.assertTrue(info[flight_sql.FLIGHT_SQL_SERVER_NAME])
        self.assertEqual(info[flight_sql.SQL_IDENTIFIER_QUOTE_CHAR], '"')
        self.assertGreater(len(self.connection.flightsql_get_sql_info([])), len(codes))


class Client(TestCase):
    def setUp(self):
        self.client = client()
        self.addCleanup(self.client.close)
        self.options = FlightSQLCallOptions(timeout=TIMEOUT)

    def read(self, info):
        return self.client.do_get(info.endpoints[0].ticket, self.options).read_all()

    def test_statements(self):
        info = self.client.execute(QUERY, self.options)
        self.assertEqual(info.schema.names, ["room", "temp", "co"])
        self.assertEqual(self.read(info).column("co").to_pylist(), [8, 7])

    def test_catalogs_schemas_and_types(self):
        self.assertEqual(self.read(self.client.get_catalogs()).to_pylist(), [{"catalog_name": "public"}])
        rows = self.read(self.client.get_db_schemas(db_schema_filter_pattern="io_")).to_pylist()
        self.assertEqual(rows, [{"catalog_name": "public", "db_schema_name": "iox"}])
        types = self.read(self.client.get_table_types()).column("table_type").to_pylist()
        self.assertGreaterEqual(set(types), {"BASE TABLE", "VIEW"})

    def test_tables(self):
        def names(**options):
            return self.read(self.client.get_tables(**options)).column("table_name").to_pylist()

        self.assertEqual(names(db_schema_filter_pattern="iox"), ["hall", "home"])
        self.assertEqual(names(table_name_filter_pattern="h_m%"), ["home"])
        self.assertEqual(names(catalog="nothing"), [])
        self.assertEqual(names(db_schema_filter_pattern="iox", table_types=["VIEW"]), [])
        self.assertNotIn("home", names(table_types=["VIEW"]))

    def test_schemas_of_tables(self):
        table = self.read(self.client.get_tables(include_schema=True, db_schema_filter_pattern="iox"))
        self.assertEqual(table.schema.names[-1], "table_schema")
        [_, home] = table.to_pylist()
        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(home["table_schema"]))
        self.assertEqual(schema.names, ["co", "count", "note", "open", "room", "temp", "time"])
        self.assertEqual(schema.field("room").type, pyarrow.string())

    def test_keys(self):
        home = TableRef(table="home")
        keys = self.read(self.client.get_primary_keys(home)).column("column_name")
        self.assertEqual(keys.to_pylist(), ["room", "time"])
        for info in [
            self.client.get_exported_keys(home),
            self.client.get_imported_keys(home),
            self.client.get_cross_reference(home, home),
        ]:
            self.assertEqual(self.read(info).num_rows, 0)

    def test_types(self):
        rows = self.read(self.client.get_xdbc_type_info(None)).to_pylist()
        self.assertIn("VARCHAR", {row["type_name"] for row in rows})
        # -5 is BIGINT.
        rows = self.read(self.client.get_xdbc_type_info(-5)).to_pylist()
        self.assertEqual({row["data_type"] for row in rows}, {-5})

    def test_a_prepared_statement(self):
        with self.client.prepare(QUERY) as statement:
            for _ in range(2):
                self.assertEqual(self.read(statement.execute(None)).num_rows, 2)

    def test_updates(self):
        write_lines("superset-deletes", "m v=1i 1", "m v=2i 2")
        deleting = client("superset-deletes")
        self.assertEqual(deleting.execute_update("DELETE FROM m WHERE time < to_timestamp(2)"), -1)
        self.assertEqual(deleting.execute_update("INSERT INTO m (time, v) VALUES (to_timestamp(3), 3)"), 1)
        deleting.close()
        self.assertStored("superset-deletes", "SELECT v FROM m ORDER BY time", [{"v": 2}, {"v": 3}])
        with self.assertRaises((pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError)):
            self.client.execute_update("UPDATE home SET co = 1")


class Access(TestCase):
    def test_credentials_are_required(self):
        with self.assertRaises(flight.FlightUnauthenticatedError):
            client(token="apiv3_wrong").execute(QUERY)
        with self.assertRaises(flight.FlightUnauthenticatedError):
            client(token=None, user="anyone", password="wrong")

    def test_permissions(self):
        token = create_token("superset-other", ("superset-elsewhere", "read"))
        with self.assertRaises(flight.FlightUnauthorizedError):
            client(token=token).execute(QUERY)
        reader = create_token("superset-reader", (DATABASE, "read"))
        self.assertEqual(len(client(token=reader).execute(QUERY).endpoints), 1)

    def test_databases(self):
        with self.assertRaises(pyarrow.ArrowKeyError):
            client("superset-nothing").execute(QUERY)


if __name__ == "__main__":
    unittest.main()
