"""SQLAlchemy 2 with psycopg, and pandas, with TLS and without: queries, writes, data frames, and the inspector."""

import datetime
import decimal
import unittest

import pandas
import sqlalchemy
from postgres_server import (
    DATABASE,
    EVERY_TYPE,
    EVERY_VALUE,
    HOST,
    LARGE,
    LARGE_BYTES,
    LARGE_ROWS,
    PORT,
    MemoryWatch,
    libpq_options,
    write_rows,
)
from server import TOKEN, TestCase
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, MetaData, Numeric, String, Table
from sqlalchemy.dialects import postgresql

TIME = datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)


def setUpModule():
    write_rows()


def engine(password=TOKEN, database=DATABASE, **options):
    url = sqlalchemy.URL.create("postgresql+psycopg", "ann", password, HOST, int(PORT), database)
    return sqlalchemy.create_engine(url, connect_args={"connect_timeout": 60, **libpq_options()}, **options)


EVERY = Table(
    "every_type",
    MetaData(),
    Column("time", DateTime, primary_key=True),
    Column("host", String, primary_key=True),
    Column("v", Double),
    Column("n", BigInteger),
    Column("u", Numeric),
    Column("note", String),
    Column("up", Boolean),
)


class Statements(TestCase):
    def setUp(self):
        self.engine = engine()
        self.addCleanup(self.engine.dispose)

    def test_select(self):
        columns = [EVERY.c[name] for name in EVERY_TYPE.split(", ")]
        query = sqlalchemy.select(*columns)
        for column, value in zip(columns, EVERY_VALUE):
            query = query.where(column == value)
        with self.engine.connect() as connection:
            self.assertEqual([tuple(row) for row in connection.execute(query)], [EVERY_VALUE])
            counted = sqlalchemy.select(sqlalchemy.func.count()).where(EVERY.c.host.in_(["a", "missing"]))
            self.assertEqual(connection.scalar(counted), 1)

    def test_insert(self):
        rows = [
            {"time": TIME, "host": host, "v": 1.5, "n": -7, "u": decimal.Decimal(7), "note": None, "up": False}
            for host in ("alchemy 1", "alchemy 2", "alchemy 3")
        ]
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.insert(EVERY), rows)
        stored = sqlalchemy.select(EVERY).where(EVERY.c.host.like("alchemy %")).order_by(EVERY.c.host)
        with self.engine.connect() as connection:
            self.assertEqual([dict(row._mapping) for row in connection.execute(stored)], rows)

    def test_a_rollback_stores_nothing(self):
        row = {"time": TIME, "host": "rolled back", "v": 1.5}
        with self.engine.connect() as connection:
            connection.execute(sqlalchemy.insert(EVERY), row)
            connection.rollback()
            counted = sqlalchemy.select(sqlalchemy.func.count()).where(EVERY.c.host == "rolled back")
            self.assertEqual(connection.scalar(counted), 0)

    def test_a_large_answer_in_parts(self):
        with self.engine.connect() as connection:
            answer = connection.execution_options(stream_results=True, max_row_buffer=1_000).execute(
                sqlalchemy.text(LARGE)
            )
            memory = MemoryWatch()
            for part in answer.partitions(1_000):
                memory.receive(len(part))
        self.assertEqual(memory.rows, LARGE_ROWS)

    def test_wrong_passwords_and_unknown_databases(self):
        for options in ({"password": "apiv3_wrong"}, {"database": "missing"}):
            refused = engine(**options)
            with self.assertRaises(sqlalchemy.exc.OperationalError):
                refused.connect()
            refused.dispose()


class DataFrames(TestCase):
    def setUp(self):
        self.engine = engine(isolation_level="AUTOCOMMIT")
        self.addCleanup(self.engine.dispose)

    def test_of_a_query(self):
        query = f"SELECT {EVERY_TYPE} FROM every_type WHERE host = %(host)s"
        for read in (pandas.read_sql, pandas.read_sql_query):
            with self.engine.connect() as connection:
                frame = read(query, connection, params={"host": "a"})
            self.assertEqual(list(frame.columns), EVERY_TYPE.split(", "))
            self.assertEqual(frame["v"].tolist(), [0.5])
            self.assertEqual(frame["n"].tolist(), [-1])
            self.assertEqual(frame["up"].tolist(), [True])
            self.assertEqual(frame["note"].tolist(), [EVERY_VALUE[4]])
            self.assertEqual(frame["time"].tolist(), [pandas.Timestamp(TIME)])

    def test_in_parts(self):
        # Without autocommit, because cursors end with their transaction.
        streaming = engine(execution_options={"stream_results": True})
        self.addCleanup(streaming.dispose)
        with streaming.connect() as connection:
            parts = pandas.read_sql_query(LARGE, connection, chunksize=50_000)
            counted = [(len(part), part["text"].str.len().max()) for part in parts]
        self.assertEqual(sum(rows for rows, _ in counted), LARGE_ROWS)
        self.assertEqual({longest for _, longest in counted}, {LARGE_BYTES})

    def test_of_a_table(self):
        with self.engine.connect() as connection:
            frame = pandas.read_sql_table("every_type", connection, columns=["host", "v", "time"])
        self.assertEqual(frame[frame["host"] == "a"]["v"].tolist(), [0.5])


class Inspector(TestCase):
    def setUp(self):
        self.engine = engine()
        self.addCleanup(self.engine.dispose)
        self.inspector = sqlalchemy.inspect(self.engine)

    def test_finds_schemas_and_tables(self):
        self.assertEqual(self.inspector.default_schema_name, "iox")
        self.assertIn("iox", self.inspector.get_schema_names())
        for schema in (None, "iox"):
            names = self.inspector.get_table_names(schema=schema)
            self.assertEqual([name for name in names if name in ("cpu", "every_type")], ["cpu", "every_type"])
        self.assertTrue(self.inspector.has_table("cpu"))
        self.assertFalse(self.inspector.has_table("missing"))

    def test_describes_columns(self):
        columns = {column["name"]: type(column["type"]) for column in self.inspector.get_columns("every_type")}
        expected = {
            "host": postgresql.TEXT,
            "n": postgresql.BIGINT,
            "note": postgresql.TEXT,
            "time": postgresql.TIMESTAMP,
            "u": postgresql.NUMERIC,
            "up": postgresql.BOOLEAN,
            "v": postgresql.DOUBLE_PRECISION,
        }
        self.assertEqual(columns, expected)

    def test_finds_no_keys_and_indexes(self):
        self.assertEqual(self.inspector.get_pk_constraint("every_type")["constrained_columns"], [])
        self.assertEqual(self.inspector.get_indexes("every_type"), [])
        self.assertEqual(self.inspector.get_foreign_keys("every_type"), [])

    def test_reflects_a_table(self):
        table = Table("every_type", MetaData(), autoload_with=self.engine)
        with self.engine.connect() as connection:
            row = connection.execute(sqlalchemy.select(table.c.v).where(table.c.host == "a")).one()
        self.assertEqual(tuple(row), (0.5,))


if __name__ == "__main__":
    unittest.main()
