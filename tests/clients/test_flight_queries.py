"""Queries with `pyarrow.flight`: tickets in JSON and protobuf, access, metadata, and errors.

| subject | tests |
|---|---|
| JSON tickets: each name of the database, both languages, parameters of every type | `JsonTickets` |
| `ReadInfo`: bare, in `Any`, both languages, parameters, Flight SQL commands | `ReadInfo` |
| `authorization` in each form, `Handshake`, tokens without permissions | `Access` |
| the exception of each error | `Errors` |
| schemas of SQL and InfluxQL: types, nullability, metadata | `Schemas` |
| metadata of requests and answers: stamps, earlier states, staleness, compression, deadlines | `Metadata` |
| `DELETE` | `Deletes` |
| calls without an implementation | `OtherCalls` |
"""

import base64
import json
import unittest

import flightsql.flightsql_pb2 as flight_sql
import pyarrow
from flight_connection import COLUMN_TYPE, Connection, json_ticket
from google.protobuf import any_pb2
from protobuf import INFLUXQL, SQL, read_info, read_info_any
from pyarrow import flight
from server import TOKEN, TestCase, create_token, write_lines

DATABASE = "tickets"
ROOMS = "SELECT room, temp FROM home ORDER BY room"
ROWS = [{"room": "Attic", "temp": None}, {"room": "Kitchen", "temp": 21.5}]


def setUpModule():
    write_lines(
        DATABASE,
        'home,room=Kitchen temp=21.5,co=7i,count=18446744073709551615u,open=true,note="ok" 1641024000000000000',
        "home,room=Attic co=8i 1641027600000000001",
    )


def packed(command):
    message = any_pb2.Any()
    message.Pack(command)
    return message.SerializeToString()


class FlightTest(TestCase):
    def setUp(self):
        self.connection = Connection()
        self.addCleanup(self.connection.client.close)

    def rows(self, ticket, **options):
        return self.connection.get(ticket, **options).read_all().to_pylist()

    def query(self, *args, **more):
        return self.connection.query(DATABASE, *args, **more).to_pylist()


class JsonTickets(FlightTest):
    def test_each_name_of_the_database(self):
        for name in ["database", "namespace_name", "bucket", "bucket-name"]:
            with self.subTest(name):
                ticket = flight.Ticket(json.dumps({name: DATABASE, "sql_query": ROOMS, "query_type": "sql"}))
                self.assertEqual(self.rows(ticket), ROWS)

    def test_sql_is_the_default_language(self):
        self.assertEqual(self.rows(flight.Ticket(json.dumps({"database": DATABASE, "sql_query": ROOMS}))), ROWS)

    def test_influxql(self):
        rows = self.query("SELECT temp FROM home WHERE room = 'Kitchen'", "influxql")
        [row] = [{**row, "time": row["time"].value} for row in rows]
        self.assertEqual(row, {"iox::measurement": "home", "time": 1641024000000000000, "temp": 21.5})

    def test_parameters_of_every_type(self):
        write_lines(DATABASE, 'parameters s="text",i=-5i,u=5u,f=1.5,b=true 1')
        for column, value in [("s", "text"), ("i", -5), ("u", 5), ("f", 1.5), ("b", True)]:
            with self.subTest(column):
                query = f"SELECT {column} FROM parameters WHERE {column} = $value"
                self.assertEqual(self.query(query, params={"value": value}), [{column: value}])
        query = "SELECT count(*) AS n FROM parameters WHERE s = $value"
        self.assertEqual(self.query(query, params={"value": None}), [{"n": 0}])

    def test_parameters_of_influxql(self):
        query = "SELECT co FROM home WHERE room = $room AND time >= 0"
        [row] = self.query(query, "influxql", params={"room": "Attic"})
        self.assertEqual(row["co"], 8)

    def test_a_parameter_is_a_value_and_never_a_part_of_the_statement(self):
        text = "x' OR '1' = '1"
        self.assertEqual(self.query("SELECT room FROM home WHERE room = $room", params={"room": text}), [])
        self.assertEqual(self.query("SELECT $text AS t", params={"text": text}), [{"t": text}])

    def test_members_without_a_meaning_are_ignored(self):
        self.assertEqual(self.query(ROOMS, is_debug=True), ROWS)


class ReadInfo(FlightTest):
    def test_bare_and_in_any(self):
        for encode in [read_info, read_info_any]:
            for query_type in [0, SQL]:
                with self.subTest(encode.__name__, query_type=query_type):
                    ticket = flight.Ticket(encode(DATABASE, ROOMS, query_type))
                    self.assertEqual(self.rows(ticket), ROWS)

    def test_influxql(self):
        for encode in [read_info, read_info_any]:
            ticket = flight.Ticket(encode(DATABASE, "SHOW MEASUREMENTS", INFLUXQL))
            self.assertIn({"iox::measurement": "measurements", "name": "home"}, self.rows(ticket))

    def test_parameters_of_every_type(self):
        values = {"s": "text", "i": -5, "u": 2**64 - 1, "f": 1.5, "b": True, "n": None}
        query = "SELECT " + ", ".join(f"${name} AS {name}" for name in values)
        ticket = flight.Ticket(read_info_any(DATABASE, query, SQL, parameters=values))
        self.assertEqual(self.rows(ticket), [values])

    def test_a_flight_sql_command(self):
        command = packed(flight_sql.CommandGetTableTypes())
        ticket = flight.Ticket(read_info_any(DATABASE, query_type=3, command=command))
        self.assertIn({"table_type": "BASE TABLE"}, self.rows(ticket))


class Access(TestCase):
    def ask(self, headers, token=None):
        with Connection(token=token) as connection:
            return connection.query(DATABASE, ROOMS, headers=headers).to_pylist()

    def test_each_form_of_authorization(self):
        basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
        for value in [f"Bearer {TOKEN}", f"Token {TOKEN}", f"Basic {basic}"]:
            with self.subTest(value.split()[0]):
                self.assertEqual(self.ask({"authorization": value}), ROWS)

    def test_credentials_are_required(self):
        for headers in [{}, {"authorization": "Bearer apiv3_wrong"}]:
            with self.subTest(headers), self.assertRaises(flight.FlightUnauthenticatedError) as caught:
                self.ask(headers)
            self.assertIn("Unauthenticated", str(caught.exception))
        for value in ["Bearer", "Nothing of the kind"]:
            with self.subTest(value), self.assertRaises(pyarrow.ArrowInvalid):
                self.ask({"authorization": value})

    def test_a_handshake_returns_the_token(self):
        with Connection(token=None) as connection:
            name, value = connection.client.authenticate_basic_token("anyone", TOKEN)
            self.assertEqual((name, value), (b"authorization", f"Bearer {TOKEN}".encode()))
            self.assertEqual(self.ask({name.decode(): value.decode()}), ROWS)
            with self.assertRaises(flight.FlightUnauthenticatedError):
                connection.client.authenticate_basic_token("anyone", "wrong")

    def test_a_handshake_echoes_its_payload(self):
        class Echo(flight.ClientAuthHandler):
            def authenticate(self, outgoing, incoming):
                outgoing.write(b"payload")
                self.answer = incoming.read()

            def get_token(self):
                return b""

        with Connection() as connection:
            handler = Echo()
            connection.client.authenticate(handler, connection.call_options())
            self.assertEqual(handler.answer, b"payload")

    def test_a_token_without_permission_for_the_database(self):
        token = create_token("flight-other", ("other-tickets", "read", "write"))
        writer = create_token("flight-writer", (DATABASE, "write"))
        reader = create_token("flight-reader", (DATABASE, "read"))
        for refused in [token, writer]:
            with self.assertRaises(flight.FlightUnauthorizedError) as caught:
                self.ask({}, token=refused)
            self.assertIn("Permission denied", str(caught.exception))
        self.assertEqual(self.ask({}, token=reader), ROWS)

    def test_an_unknown_database_is_not_revealed_to_others(self):
        token = create_token("flight-curious", ("other-tickets", "read"))
        with Connection(token=token) as connection, self.assertRaises(flight.FlightUnauthorizedError):
            connection.query("no-such-database", "SELECT 1")


class Errors(FlightTest):
    def test_an_unknown_database(self):
        with self.assertRaises(pyarrow.ArrowKeyError) as caught:
            self.connection.query("no-such-database", "SELECT 1")
        self.assertIn("database not found: no-such-database", str(caught.exception))

    def test_tickets_that_are_none(self):
        no_ticket = [b"", b"\xff\xff", b"no ticket", b"[]", b"{}", b'{"database": "tickets"}']
        wrong_type = json.dumps({"database": DATABASE, "sql_query": "SELECT 1", "query_type": "promql"}).encode()
        wrong_parameter = json_ticket(DATABASE, "SELECT $p", params={"p": {"a": 1}}).ticket
        for ticket in [*no_ticket, wrong_type, wrong_parameter]:
            with self.subTest(ticket), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.rows(flight.Ticket(ticket))
            self.assertIn("Invalid ticket", str(caught.exception))

    def test_statements_that_cannot_be_planned(self):
        for query, message in [
            ("SELEC 1", "SELEC"),
            ("SELECT * FROM no_such_table", "no_such_table"),
            ("SELECT no_such_column FROM home", "no_such_column"),
            ("SELECT no_such_function(1)", "no_such_function"),
            ("DROP TABLE home", "DROP"),
            ("", ""),
        ]:
            with self.subTest(query), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.query(query)
            self.assertIn("Error while planning query", str(caught.exception))
            self.assertIn(message, str(caught.exception))

    def test_several_statements(self):
        with self.assertRaises(pyarrow.ArrowNotImplementedError) as caught:
            self.query("SELECT 1; SELECT 2")
        self.assertIn("single SQL statement", str(caught.exception))

    def test_a_parameter_without_a_value(self):
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.query("SELECT room FROM home WHERE room = $room")
        self.assertIn("room", str(caught.exception))

    def test_a_failure_in_the_middle_of_an_answer(self):
        query = "SELECT 1000 / (500000 - value) AS v FROM generate_series(1, 1000000)"
        with self.assertRaises(pyarrow.ArrowException) as caught:
            self.query(query)
        self.assertIn("ivide by zero", str(caught.exception))

    def test_messages_are_bounded(self):
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.query("SELECT " + "x" * 100_000)
        # The client shows the message twice.
        self.assertLess(len(str(caught.exception)), 5_000)

    def test_influxql_that_is_not_available(self):
        for query in ["SELEC", "SELECT holt_winters(co, 1, 1) FROM home", "DROP DATABASE tickets"]:
            with self.subTest(query), self.assertRaises((pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError)):
                self.query(query, "influxql")

    def test_after_an_error_the_connection_still_works(self):
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.query("SELEC")
        self.assertEqual(self.query(ROOMS), ROWS)


class Schemas(FlightTest):
    def schema(self, query, query_type="sql"):
        return self.connection.get(json_ticket(DATABASE, query, query_type)).schema

    def test_a_table(self):
        schema = self.schema("SELECT * FROM home")
        columns = {field.name: (field.type, (field.metadata or {}).get(COLUMN_TYPE)) for field in schema}
        expected = {
            "co": (pyarrow.int64(), b"iox::column_type::field::integer"),
            "count": (pyarrow.uint64(), b"iox::column_type::field::uinteger"),
            "note": (pyarrow.string(), b"iox::column_type::field::string"),
            "open": (pyarrow.bool_(), b"iox::column_type::field::boolean"),
            "room": (pyarrow.string(), b"iox::column_type::tag"),
            "temp": (pyarrow.float64(), b"iox::column_type::field::float"),
            "time": (pyarrow.timestamp("ns"), b"iox::column_type::timestamp"),
        }
        self.assertEqual(columns, expected)
        self.assertEqual([field.name for field in schema], sorted(expected))
        self.assertEqual([field.name for field in schema if not field.nullable], ["time"])

    def test_an_answer_without_rows_has_the_schema(self):
        table = self.connection.query(DATABASE, "SELECT * FROM home WHERE room = 'nowhere'")
        self.assertEqual(table.num_rows, 0)
        self.assertTrue(table.schema.equals(self.schema("SELECT * FROM home"), check_metadata=True))

    def test_the_group_key_of_influxql(self):
        schema = self.schema("SELECT mean(temp) FROM home GROUP BY room", "influxql")
        key = json.loads(schema.metadata[b"iox::influxql::group_key::metadata"])
        self.assertEqual(schema.field(key["measurement_column_index"]).name, "iox::measurement")
        [tag] = key["tag_key_columns"]
        self.assertEqual((tag["tag_key"], schema.field(tag["column_index"]).name), ("room", "room"))
        self.assertEqual([field.name for field in schema], ["iox::measurement", "time", "room", "mean"])

    def test_flight_info_and_its_ticket(self):
        descriptor = flight.FlightDescriptor.for_command(packed(flight_sql.CommandStatementQuery(query=ROOMS)))
        options = self.connection.call_options({"database": DATABASE})
        info = self.connection.client.get_flight_info(descriptor, options)
        self.assertEqual([field.name for field in info.schema], ["room", "temp"])
        [endpoint] = info.endpoints
        self.assertEqual(endpoint.locations, [])
        self.assertEqual(self.rows(endpoint.ticket, headers={"database": DATABASE}), ROWS)

    def test_a_native_ticket_as_a_command(self):
        descriptor = flight.FlightDescriptor.for_command(json_ticket(DATABASE, ROOMS).ticket)
        options = self.connection.call_options()
        info = self.connection.client.get_flight_info(descriptor, options)
        self.assertEqual(info.schema.names, ["room", "temp"])
        self.assertEqual(self.rows(info.endpoints[0].ticket), ROWS)
        self.assertEqual(self.connection.client.get_schema(descriptor, options).schema, info.schema)


class Metadata(FlightTest):
    def count(self, database, headers):
        return self.connection.query(database, "SELECT count(*) AS n FROM m", headers=headers).to_pylist()[0]["n"]

    def test_an_earlier_state(self):
        first = write_lines("tickets-states", "m v=1i 1")
        write_lines("tickets-states", "m v=2i 2")
        self.assertEqual(self.count("tickets-states", {"x-neap-as-of": first}), 1)
        self.assertEqual(self.connection.recorder.received["x-neap-as-of"], [first])
        self.assertEqual(self.count("tickets-states", {}), 2)
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.count("tickets-states", {"x-neap-as-of": "no time"})

    def test_a_query_after_a_stamp(self):
        stamp = write_lines("tickets-stamps", "m v=1i 1")
        self.assertEqual(self.count("tickets-stamps", {"x-neap-stamp": stamp}), 1)

    def test_an_allowed_staleness(self):
        write_lines("tickets-stale", "m v=1i 1")
        self.assertEqual(self.count("tickets-stale", {"x-neap-max-staleness": "10s"}), 1)
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.count("tickets-stale", {"x-neap-max-staleness": "long"})

    def test_the_database_of_flight_sql(self):
        command = flight.Ticket(packed(flight_sql.CommandStatementQuery(query=ROOMS)))
        descriptor = flight.FlightDescriptor.for_command(command.ticket)

        def info(headers):
            return self.connection.client.get_flight_info(descriptor, self.connection.call_options(headers))

        for name in ["database", "bucket", "bucket-name", "iox-namespace-name"]:
            with self.subTest(name):
                [endpoint] = info({name: DATABASE}).endpoints
                self.assertEqual(self.rows(endpoint.ticket, headers={name: DATABASE}), ROWS)
        info({"database": DATABASE, "bucket": DATABASE})
        for headers in [{}, {"database": DATABASE, "bucket": "other"}]:
            with self.subTest(headers), self.assertRaises(pyarrow.ArrowInvalid):
                info(headers)

    def test_compressed_rows(self):
        query = "SELECT repeat('x', 1000) AS s FROM generate_series(1, 1000)"
        for compression in ["lz4", "zstd", "none"]:
            rows = self.connection.query(DATABASE, query, headers={"x-neap-compression": compression})
            self.assertEqual(rows.num_rows, 1_000)
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.connection.query(DATABASE, query, headers={"x-neap-compression": "brotli"})

    def test_the_language_of_flight_sql(self):
        headers = {"database": DATABASE, "x-influxdata-query-language": "influxql"}
        command = flight_sql.CommandStatementQuery(query="SHOW MEASUREMENTS")
        descriptor = flight.FlightDescriptor.for_command(packed(command))
        info = self.connection.client.get_flight_info(descriptor, self.connection.call_options(headers))
        rows = self.rows(info.endpoints[0].ticket, headers=headers)
        self.assertIn({"iox::measurement": "measurements", "name": "home"}, rows)

    def test_a_deadline(self):
        query = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b"
        with self.assertRaises(flight.FlightTimedOutError):
            self.rows(json_ticket(DATABASE, query), timeout=1)
        self.assertEqual(self.query(ROOMS), ROWS)


class Deletes(FlightTest):
    def test_rows_are_deleted(self):
        write_lines("tickets-deletes", *(f"m,t={tag} v=1i {time}" for tag in "ab" for time in range(10)))
        delete = "DELETE FROM m WHERE t = 'a' AND time < to_timestamp(5)"
        self.connection.query("tickets-deletes", delete)
        [stamp] = self.connection.recorder.received["x-neap-stamp"]
        count = "SELECT count(*) AS n FROM m"
        rows = self.connection.query("tickets-deletes", count, headers={"x-neap-stamp": stamp})
        self.assertEqual(rows.to_pylist(), [{"n": 15}])

    def test_a_token_that_may_only_read(self):
        write_lines("tickets-undeleted", "m v=1i 1")
        reader = create_token("flight-no-delete", ("tickets-undeleted", "read"))
        with Connection(token=reader) as connection, self.assertRaises(flight.FlightUnauthorizedError):
            connection.query("tickets-undeleted", "DELETE FROM m WHERE time < to_timestamp(5)")
        self.assertStored("tickets-undeleted", "SELECT v FROM m", [{"v": 1}])


class OtherCalls(FlightTest):
    def test_actions_are_listed(self):
        actions = {action.type for action in self.connection.client.list_actions(self.connection.call_options())}
        known = {"CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo", "CancelQuery"}
        self.assertEqual(actions, known)

    def test_an_unknown_action(self):
        with self.assertRaises((pyarrow.ArrowNotImplementedError, pyarrow.ArrowInvalid)):
            list(self.connection.client.do_action(flight.Action("Unknown", b""), self.connection.call_options()))

    def test_calls_that_are_not_implemented(self):
        client, options = self.connection.client, self.connection.call_options({"database": DATABASE})
        descriptor = flight.FlightDescriptor.for_command(b"x")
        with self.assertRaises(pyarrow.ArrowNotImplementedError):
            list(client.list_flights(options=options))
        with self.assertRaises(pyarrow.ArrowNotImplementedError):
            writer, reader = client.do_exchange(descriptor, options)
            with writer:
                writer.done_writing()
                reader.read_chunk()


if __name__ == "__main__":
    unittest.main()
