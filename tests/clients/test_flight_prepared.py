"""Prepared statements of Flight SQL, with `pyarrow.flight`: values of every type, handles, and errors.

A handle contains the statement and its values, so that any server can execute it. The answer to the values is the
handle that contains them.
"""

import datetime
import decimal
import unittest

import flightsql.flightsql_pb2 as flight_sql
import pyarrow
from flight_connection import Connection
from flightsql.dbapi import ParameterRecordBuilder
from google.protobuf import any_pb2
from pyarrow import flight
from server import TestCase, create_token, write_lines

DATABASE = "prepared"


def setUpModule():
    write_lines(DATABASE, "home,room=Kitchen co=7i,temp=21.5 1", "home,room=Attic co=8i,temp=20.5 2")


def packed(command):
    message = any_pb2.Any()
    message.Pack(command)
    return message.SerializeToString()


class PreparedStatement:
    """A prepared statement of a connection."""

    def __init__(self, connection, query, database=DATABASE, **headers):
        self.client = connection.client
        self.options = connection.call_options({"database": database, **headers})
        request = flight_sql.ActionCreatePreparedStatementRequest(query=query)
        [answer] = self.client.do_action(("CreatePreparedStatement", packed(request)), self.options)
        message, result = any_pb2.Any(), flight_sql.ActionCreatePreparedStatementResult()
        message.ParseFromString(answer.body.to_pybytes())
        assert message.Unpack(result)
        self.handle = result.prepared_statement_handle
        self.columns = pyarrow.ipc.read_schema(pyarrow.py_buffer(result.dataset_schema))
        self.parameters = pyarrow.ipc.read_schema(pyarrow.py_buffer(result.parameter_schema))

    def descriptor(self, handle):
        command = flight_sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
        return flight.FlightDescriptor.for_command(packed(command))

    def bind(self, values):
        """Returns the handle with values."""
        writer, reader = self.client.do_put(self.descriptor(self.handle), values.schema, self.options)
        with writer:
            for batch in values.to_batches() if isinstance(values, pyarrow.Table) else [values]:
                writer.write_batch(batch)
            writer.done_writing()
            answer = reader.read()
        # `DoPutPreparedStatementResult`, which the library lacks, has the same field.
        result = flight_sql.ActionClosePreparedStatementRequest()
        result.ParseFromString(answer.to_pybytes())
        return result.prepared_statement_handle

    def execute(self, values=None):
        handle = self.handle if values is None else self.bind(values)
        info = self.client.get_flight_info(self.descriptor(handle), self.options)
        rows = self.client.do_get(info.endpoints[0].ticket, self.options).read_all()
        assert info.schema.equals(rows.schema, check_metadata=True), f"{info.schema}\n{rows.schema}"
        return rows

    def close(self):
        request = flight_sql.ActionClosePreparedStatementRequest(prepared_statement_handle=self.handle)
        list(self.client.do_action(("ClosePreparedStatement", packed(request)), self.options))


class PreparedTest(TestCase):
    def setUp(self):
        self.connection = Connection()
        self.addCleanup(self.connection.client.close)

    def prepare(self, query, **options):
        statement = PreparedStatement(self.connection, query, **options)
        self.addCleanup(statement.close)
        return statement

    def execute(self, query, **values):
        columns = {name: value if isinstance(value, pyarrow.Array) else [value] for name, value in values.items()}
        return self.prepare(query).execute(pyarrow.record_batch(columns)).to_pylist()


class Values(PreparedTest):
    def test_each_type(self):
        for arrow, value in [
            (pyarrow.int8(), -5),
            (pyarrow.int16(), -5),
            (pyarrow.int32(), -5),
            (pyarrow.int64(), -(2**63)),
            (pyarrow.uint8(), 5),
            (pyarrow.uint16(), 5),
            (pyarrow.uint32(), 5),
            (pyarrow.uint64(), 2**64 - 1),
            (pyarrow.float32(), 0.5),
            (pyarrow.float64(), 0.1),
            (pyarrow.bool_(), True),
            (pyarrow.string(), "ü 'quoted'"),
            (pyarrow.large_string(), "text"),
            (pyarrow.string_view(), "text"),
            (pyarrow.binary(), b"\x00\xff"),
            (pyarrow.date32(), datetime.date(2024, 2, 29)),
            (pyarrow.timestamp("us"), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
            (pyarrow.decimal128(10, 2), decimal.Decimal("1.50")),
        ]:
            with self.subTest(arrow):
                [row] = self.execute("SELECT $1 AS v", **{"1": pyarrow.array([value], arrow)})
                self.assertEqual(row, {"v": value})

    def test_dictionaries(self):
        rows = self.execute(
            "SELECT co FROM home WHERE room = $1", **{"1": pyarrow.array(["Attic"]).dictionary_encode()}
        )
        self.assertEqual(rows, [{"co": 8}])

    def test_unions_of_types(self):
        # The form in which `flightsql-dbapi` sends values.
        values = ParameterRecordBuilder(["Attic", 9, 1.5, True]).build_record()
        query = "SELECT room FROM home WHERE room = $1 AND co < $2 AND temp > $3 AND (temp > 0) = $4"
        self.assertEqual(self.prepare(query).execute(values).to_pylist(), [{"room": "Attic"}])

    def test_nulls(self):
        for array in [pyarrow.nulls(1), pyarrow.nulls(1, pyarrow.string())]:
            rows = self.execute("SELECT count(*) AS n FROM home WHERE room = $1", **{"1": array})
            self.assertEqual(rows, [{"n": 0}])

    def test_positions_and_names(self):
        self.assertEqual(
            self.execute("SELECT $2 AS b, $1 AS a", x="first", y="second"), [{"b": "second", "a": "first"}]
        )
        rows = self.execute("SELECT room FROM home WHERE room = $room AND co = $co", co=8, room="Attic")
        self.assertEqual(rows, [{"room": "Attic"}])
        self.assertEqual(self.execute("SELECT ? AS a, ? AS b", x=1, y=2), [{"a": 1, "b": 2}])
        self.assertEqual(self.execute("SELECT '?' AS a, ? AS b", x=1), [{"a": "?", "b": 1}])

    def test_text_is_never_a_part_of_the_statement(self):
        self.assertEqual(self.execute("SELECT room FROM home WHERE room = $1", x="x' OR '1' = '1"), [])

    def test_influxql(self):
        language = {"x-influxdata-query-language": "influxql"}
        rows = self.prepare("SELECT co FROM home", **language).execute().to_pylist()
        self.assertEqual([row["co"] for row in rows], [7, 8])
        # InfluxQL is planned with its values, and a native ticket can have them.
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.prepare("SELECT co FROM home WHERE room = $room", **language)
        self.assertIn("'room'", str(caught.exception))


class Handles(PreparedTest):
    def test_schemas(self):
        statement = self.prepare("SELECT room, co FROM home WHERE room = $room AND co < $limit")
        self.assertEqual(statement.columns.names, ["room", "co"])
        self.assertEqual(statement.columns.field("room").type, pyarrow.string())
        self.assertEqual(sorted(statement.parameters.names), ["limit", "room"])

    def test_a_handle_is_executed_many_times_and_by_other_clients(self):
        statement = self.prepare("SELECT co FROM home WHERE room = $1")
        handle = statement.bind(pyarrow.record_batch({"1": ["Attic"]}))
        for _ in range(3):
            with Connection() as other:
                options = other.call_options({"database": DATABASE})
                info = other.client.get_flight_info(statement.descriptor(handle), options)
                rows = other.client.do_get(info.endpoints[0].ticket, options).read_all()
                self.assertEqual(rows.to_pylist(), [{"co": 8}])

    def test_a_handle_gives_no_permission(self):
        statement = self.prepare("SELECT co FROM home WHERE room = $1")
        handle = statement.bind(pyarrow.record_batch({"1": ["Attic"]}))
        token = create_token("prepared-other", ("prepared-elsewhere", "read"))
        with Connection(token=token) as other, self.assertRaises(flight.FlightUnauthorizedError):
            options = other.call_options({"database": "prepared-elsewhere"})
            other.client.get_flight_info(statement.descriptor(handle), options)

    def test_statements_without_values(self):
        statement = self.prepare("SELECT co FROM home ORDER BY co")
        self.assertEqual(statement.execute().column(0).to_pylist(), [7, 8])


class Refusals(PreparedTest):
    QUERY = "SELECT co FROM home WHERE room = $1"

    def test_statements(self):
        for query in ["SELEC", "SELECT nothing FROM home", "SELECT * FROM nothing"]:
            with self.subTest(query), self.assertRaises(pyarrow.ArrowInvalid):
                self.prepare(query)
        with self.assertRaises(pyarrow.ArrowKeyError):
            self.prepare("SELECT 1", database="prepared-nothing")

    def test_missing_and_superfluous_values(self):
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.prepare(self.QUERY).execute()
        self.assertIn("$1", str(caught.exception))
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.execute(self.QUERY, a="Attic", b="Kitchen")

    def test_several_rows(self):
        values = pyarrow.record_batch({"1": ["Attic", "Kitchen"]})
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.prepare(self.QUERY).execute(values)
        self.assertIn("one row", str(caught.exception))

    def test_values_that_are_too_large(self):
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.execute(self.QUERY, a="x" * (2 << 20))
        self.assertRegex(str(caught.exception), r"\d+ bytes")

    def test_handles_of_others(self):
        statement = self.prepare(self.QUERY)
        for handle in [b"", b"\xff", b"no handle"]:
            with self.subTest(handle), self.assertRaises((pyarrow.ArrowInvalid, pyarrow.ArrowKeyError)):
                statement.client.get_flight_info(statement.descriptor(handle), statement.options)

    def test_after_an_error_the_statement_still_works(self):
        statement = self.prepare(self.QUERY)
        with self.assertRaises(pyarrow.ArrowInvalid):
            statement.execute()
        self.assertEqual(statement.execute(pyarrow.record_batch({"1": ["Attic"]})).to_pylist(), [{"co": 8}])


if __name__ == "__main__":
    unittest.main()
