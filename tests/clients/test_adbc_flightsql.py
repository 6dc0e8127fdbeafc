"""The ADBC driver of Flight SQL, `adbc-driver-flightsql`: queries and metadata.

| of the library | tests |
|---|---|
| `execute`, `description`, `rownumber`, each method that begins with `fetch` | `Queries` |
| parameters by position and by name, `adbc_prepare`, `adbc_execute_schema` | `Parameters` |
| `executemany` | `Updates` |
| `adbc_execute_partitions`, `adbc_read_partition` | `Partitions` |
| `adbc_get_info`, `adbc_get_objects`, `adbc_get_table_schema`, `adbc_get_table_types` | `Metadata` |
| `adbc_cancel`, timeouts | `Cancellation` |
| the exception of each error, user and password, headers | `Access`, `Errors` |

`adbc_ingest` is in `test_adbc_ingest`.
"""

import datetime
import threading
import time
import unittest

import pandas
import polars
import pyarrow
from adbc_connection import DatabaseOptions, connect, dbapi
from flight_connection import column_type
from server import TOKEN, TestCase, create_token, sql, write_lines

DATABASE = "adbc"
QUERY = "SELECT room, temp, co FROM home ORDER BY room"
ROWS = [("Attic", None, 8), ("Kitchen", 21.5, 7)]


def setUpModule():
    write_lines(
        DATABASE,
        'home,room=Kitchen temp=21.5,co=7i,count=1u,open=true,note="ok" 1641024000000000000',
        "home,room=Attic co=8i 1641027600000000000",
        "hall,place=a_b v=1 1",
    )


class AdbcTest(TestCase):
    def setUp(self):
        self.connection = connect(DATABASE)
        self.addCleanup(self.connection.close)
        self.cursor = self.connection.cursor()
        self.addCleanup(self.cursor.close)

    def rows(self, *arguments):
        return self.cursor.execute(*arguments).fetchall()


class Queries(AdbcTest):
    def test_rows(self):
        self.assertEqual(self.rows(QUERY), ROWS)
        self.assertEqual([column[0] for column in self.cursor.description], ["room", "temp", "co"])
        self.cursor.execute(QUERY)
        self.assertEqual(self.cursor.fetchone(), ROWS[0])
        self.assertEqual(self.cursor.rownumber, 1)
        self.assertEqual(self.cursor.fetchmany(5), ROWS[1:])
        self.assertIsNone(self.cursor.fetchone())
        self.assertEqual(list(self.cursor.execute(QUERY)), ROWS)

    def test_each_form_of_an_answer(self):
        table = self.cursor.execute(QUERY).fetch_arrow_table()
        self.assertEqual(table.column("co").to_pylist(), [8, 7])
        self.assertEqual(self.cursor.execute(QUERY).fetch_record_batch().read_all(), table)
        self.assertEqual(pyarrow.table(self.cursor.execute(QUERY).fetch_arrow()), table)
        self.assertIsInstance(self.cursor.execute(QUERY).fetch_df(), pandas.DataFrame)
        self.assertIsInstance(self.cursor.execute(QUERY).fetch_polars(), polars.DataFrame)

    def test_columns_say_what_they_are(self):
        schema = self.cursor.execute("SELECT * FROM home").fetch_arrow_table().schema
        self.assertEqual(schema.names, ["co", "count", "note", "open", "room", "temp", "time"])
        self.assertEqual(schema.field("room").metadata, column_type("tag"))
        self.assertEqual(schema.field("time").type, pyarrow.timestamp("ns"))

    def test_an_answer_without_rows(self):
        self.assertEqual(self.rows("SELECT * FROM home WHERE room = 'nowhere'"), [])
        self.assertEqual(len(self.cursor.description), 7)

    def test_a_large_answer(self):
        self.cursor.execute("SELECT value AS v, repeat('x', 100) AS s FROM generate_series(1, 300000)")
        self.assertEqual(sum(batch.num_rows for batch in self.cursor.fetch_record_batch()), 300_000)

    def test_one_connection_for_many_statements(self):
        with self.connection.adbc_clone() as clone:
            for number in range(20):
                with clone.cursor() as cursor:
                    self.assertEqual(cursor.execute(f"SELECT {number}").fetchone(), (number,))

    def test_answers_that_are_read_in_turn(self):
        with self.connection.cursor() as other:
            first = self.cursor.execute("SELECT value FROM generate_series(1, 100000)")
            second = other.execute("SELECT value FROM generate_series(1, 100000)")
            for _ in range(1_000):
                self.assertEqual(first.fetchone(), second.fetchone())

    def test_metadata_statements(self):
        rows = self.cursor.execute("SHOW TABLES").fetch_arrow_table().to_pylist()
        self.assertIn("home", [row["table_name"] for row in rows])


class Parameters(AdbcTest):
    def test_by_position(self):
        query = "SELECT room FROM home WHERE room = $1 AND co < $2"
        self.assertEqual(self.rows(query, ("Kitchen", 100)), [("Kitchen",)])
        self.assertEqual(self.rows(query, ("Kitchen", 5)), [])

    def test_every_type(self):
        values = [
            "text",
            -5,
            1.5,
            True,
            b"bytes",
            datetime.date(2024, 2, 29),
            datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        ]
        for value in values:
            with self.subTest(value):
                self.assertEqual(self.rows("SELECT $1", (value,)), [(value,)])

    def test_arrow_types(self):
        for arrow, value in [
            (pyarrow.int8(), 1),
            (pyarrow.uint64(), 2**64 - 1),
            (pyarrow.float32(), 0.5),
            (pyarrow.large_string(), "x"),
            (pyarrow.string_view(), "x"),
            (pyarrow.timestamp("ns"), pandas.Timestamp(1)),
        ]:
            with self.subTest(arrow):
                batch = pyarrow.record_batch([pyarrow.array([value], arrow)], ["1"])
                self.assertEqual(self.rows("SELECT $1 = $1 AS v", batch), [(True,)])

    def test_nulls(self):
        self.assertEqual(self.rows("SELECT count(*) FROM home WHERE room = $1", (None,)), [(0,)])

    def test_a_prepared_statement_is_executed_again(self):
        query = "SELECT co FROM home WHERE room = $1"
        for _ in range(3):
            self.assertEqual(self.rows(query, ("Kitchen",)), [(7,)])
            self.assertEqual(self.rows(query, ("Attic",)), [(8,)])

    def test_named_columns(self):
        values = pyarrow.record_batch({"room": pyarrow.array(["Attic"]), "co": pyarrow.array([8])})
        query = "SELECT room FROM home WHERE room = $room AND co = $co"
        self.assertEqual(self.rows(query, values), [("Attic",)])

    def test_text_is_never_a_part_of_the_statement(self):
        text = "x' OR '1' = '1"
        self.assertEqual(self.rows("SELECT room FROM home WHERE room = $1", (text,)), [])

    def test_the_schemas_of_a_statement(self):
        query = "SELECT room, co FROM home WHERE room = $1"
        parameters = self.cursor.adbc_prepare(query)
        self.assertIn(len(parameters or [None]), (0, 1))
        schema = self.cursor.adbc_execute_schema(query, ("Kitchen",))
        self.assertEqual((schema.names, schema.field("co").type), (["room", "co"], pyarrow.int64()))

    def test_missing_and_superfluous_values(self):
        with self.assertRaises(dbapi.Error):
            self.rows("SELECT room FROM home WHERE room = $1 AND co = $2", ("Kitchen",))
        with self.assertRaises(dbapi.Error):
            self.rows("SELECT room FROM home WHERE room = $1")

    def test_after_an_error_the_statement_still_works(self):
        with self.assertRaises(dbapi.Error):
            self.rows("SELECT nothing FROM home WHERE room = $1", ("Kitchen",))
        self.assertEqual(self.rows("SELECT co FROM home WHERE room = $1", ("Kitchen",)), [(7,)])


class Updates(AdbcTest):
    def test_rows_are_deleted(self):
        write_lines("adbc-deletes", *(f"m,t=t{number} v=1i {number}" for number in range(10)))
        with connect("adbc-deletes") as connection, connection.cursor() as cursor:
            cursor.executemany("DELETE FROM m WHERE t = 't1'", None)
            cursor.executemany("DELETE FROM m WHERE t = $1", [("t2",)])
        self.assertStored("adbc-deletes", "SELECT count(*) AS n FROM m", [{"n": 8}])


class Partitions(AdbcTest):
    def test_an_answer_that_another_connection_reads(self):
        partitions, schema = self.cursor.adbc_execute_partitions(QUERY)
        self.assertEqual(schema.names, ["room", "temp", "co"])
        rows = []
        with connect(DATABASE) as other, other.cursor() as cursor:
            for partition in partitions:
                cursor.adbc_read_partition(partition)
                rows += cursor.fetchall()
        self.assertEqual(rows, ROWS)


class Metadata(AdbcTest):
    def objects(self, **options):
        return self.connection.adbc_get_objects(**options).read_all().to_pylist()

    def tables(self, **options):
        """Returns the tables of all schemas by their names."""
        found = {}
        for catalog in self.objects(**options):
            for schema in catalog["catalog_db_schemas"] or []:
                for table in schema["db_schema_tables"] or []:
                    found[schema["db_schema_name"], table["table_name"]] = table
        return found

    def test_information_about_the_server(self):
        info = self.connection.adbc_get_info()
        self.assertTrue(info["vendor_name"])
        self.assertRegex(info["vendor_version"], r"\d")
        self.assertIn("driver_name", info)

    def test_catalogs_and_schemas(self):
        self.assertEqual([row["catalog_name"] for row in self.objects(depth="catalogs")], ["public"])
        [catalog] = self.objects(depth="db_schemas")
        names = {schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]}
        self.assertGreaterEqual(names, {"iox", "system", "information_schema"})
        [catalog] = self.objects(depth="db_schemas", db_schema_filter="io%")
        self.assertEqual([schema["db_schema_name"] for schema in catalog["catalog_db_schemas"]], ["iox"])
        self.assertEqual(self.objects(depth="catalogs", catalog_filter="nothing"), [])

    def test_tables(self):
        tables = self.tables(depth="tables", db_schema_filter="iox")
        self.assertEqual(
            {name: table["table_type"] for name, table in tables.items()},
            {("iox", "hall"): "BASE TABLE", ("iox", "home"): "BASE TABLE"},
        )
        self.assertIn(("system", "queries"), self.tables(depth="tables"))
        self.assertEqual(list(self.tables(depth="tables", table_name_filter="ho%")), [("iox", "home")])
        self.assertEqual(list(self.tables(depth="tables", db_schema_filter="iox", table_types_filter=["VIEW"])), [])

    def test_columns(self):
        table = self.tables(depth="all", db_schema_filter="iox", table_name_filter="home")["iox", "home"]
        columns = {column["column_name"]: column for column in table["table_columns"]}
        self.assertEqual(sorted(columns), ["co", "count", "note", "open", "room", "temp", "time"])
        table = self.tables(depth="all", table_name_filter="home", column_name_filter="t%")["iox", "home"]
        self.assertEqual([column["column_name"] for column in table["table_columns"]], ["temp", "time"])

    def test_the_schema_of_a_table(self):
        schema = self.connection.adbc_get_table_schema("home", db_schema_filter="iox")
        types = {field.name: field.type for field in schema}
        self.assertEqual(
            types,
            {
                "co": pyarrow.int64(),
                "count": pyarrow.uint64(),
                "note": pyarrow.string(),
                "open": pyarrow.bool_(),
                "room": pyarrow.string(),
                "temp": pyarrow.float64(),
                "time": pyarrow.timestamp("ns"),
            },
        )
        self.assertEqual(self.connection.adbc_get_table_schema("home"), schema)
        with self.assertRaises(dbapi.Error):
            self.connection.adbc_get_table_schema("nothing")

    def test_table_types(self):
        self.assertGreaterEqual(set(self.connection.adbc_get_table_types()), {"BASE TABLE", "VIEW"})

    def test_the_type_of_tables_that_a_client_asks_for(self):
        headers = {f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}x-influxdata-base-table-type": "TABLE"}
        with connect(DATABASE, **headers) as connection:
            objects = connection.adbc_get_objects(depth="tables", db_schema_filter="iox").read_all().to_pylist()
            tables = objects[0]["catalog_db_schemas"][0]["db_schema_tables"]
            self.assertEqual({table["table_type"] for table in tables}, {"TABLE"})


class Cancellation(AdbcTest):
    ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    RUNNING = "SELECT count(*) AS n FROM system.queries WHERE running AND query_text NOT LIKE '%system.queries%'"

    def assertEnds(self):
        end = time.monotonic() + 60
        while sql(DATABASE, self.RUNNING)[0]["n"]:
            self.assertLess(time.monotonic(), end, "a query still runs")
            time.sleep(0.1)

    def test_cancel(self):
        failures = []

        def ask():
            try:
                self.cursor.execute(self.ENDLESS).fetchall()
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        end = time.monotonic() + 60
        while not sql(DATABASE, self.RUNNING)[0]["n"]:
            self.assertLess(time.monotonic(), end, "the query does not begin")
            time.sleep(0.05)
        # The log also shows the request for the columns, after which the driver sends the one for the rows.
        end = time.monotonic() + 60
        while thread.is_alive():
            self.assertLess(time.monotonic(), end, "the query is not cancelled")
            self.cursor.adbc_cancel()
            thread.join(0.5)
        self.assertEqual(len(failures), 1)
        self.assertEnds()

    def test_a_cursor_that_is_closed_before_the_end(self):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT value, repeat('x', 100) AS s FROM generate_series(1, 20000000)")
            self.assertEqual(len(cursor.fetchmany(10)), 10)
        self.assertEnds()

    def test_a_timeout(self):
        options = {DatabaseOptions.TIMEOUT_FETCH.value: "0.5", DatabaseOptions.TIMEOUT_QUERY.value: "30"}
        with connect(DATABASE, **options) as connection, connection.cursor() as cursor:
            with self.assertRaises(dbapi.Error):
                cursor.execute(self.ENDLESS).fetchall()
        self.assertEnds()


class Access(TestCase):
    def ask(self, database=DATABASE, **options):
        with connect(database, **options) as connection, connection.cursor() as cursor:
            return cursor.execute(QUERY).fetchall()

    def test_a_user_with_the_token_as_password(self):
        self.assertEqual(self.ask(token=None, username="anyone", password=TOKEN), ROWS)
        with self.assertRaises(dbapi.Error):
            self.ask(token=None, username="anyone", password="wrong")

    def test_credentials_are_required(self):
        for token in [None, "apiv3_wrong"]:
            with self.subTest(token), self.assertRaises(dbapi.ProgrammingError) as caught:
                self.ask(token=token)
            self.assertIn("nauthenticated", str(caught.exception))

    def test_permissions(self):
        reader = create_token("adbc-reader", (DATABASE, "read"))
        self.assertEqual(self.ask(token=reader), ROWS)
        other = create_token("adbc-other", ("adbc-elsewhere", "read"))
        with self.assertRaises(dbapi.ProgrammingError):
            self.ask(token=other)


class Errors(AdbcTest):
    def test_statements(self):
        for query, message in [
            ("SELEC 1", "SELEC"),
            ("SELECT * FROM nothing", "nothing"),
            ("SELECT nothing FROM home", "nothing"),
            ("DROP TABLE home", "DROP"),
        ]:
            with self.subTest(query), self.assertRaises(dbapi.ProgrammingError) as caught:
                self.rows(query)
            self.assertIn(message, str(caught.exception))

    def test_databases(self):
        with connect("adbc-nothing") as connection, connection.cursor() as cursor:
            with self.assertRaises(dbapi.ProgrammingError) as caught:
                cursor.execute(QUERY)
            self.assertIn("database not found: adbc-nothing", str(caught.exception))
        with connect(None) as connection, connection.cursor() as cursor:
            with self.assertRaises(dbapi.ProgrammingError) as caught:
                cursor.execute(QUERY)
            self.assertIn("no 'database' header in request", str(caught.exception))

    def test_in_the_middle_of_an_answer(self):
        with self.assertRaises(dbapi.Error) as caught:
            self.rows("SELECT 1000 / (500000 - value) AS v FROM generate_series(1, 1000000)")
        self.assertIn("ivide by zero", str(caught.exception))

    def test_what_flight_sql_of_influxdb_does_not_have(self):
        with self.assertRaises(dbapi.NotSupportedError):
            self.rows("SELECT 1; SELECT 2")
        with self.assertRaises(dbapi.Error):
            self.cursor.execute(b"a plan of Substrait")


if __name__ == "__main__":
    unittest.main()
