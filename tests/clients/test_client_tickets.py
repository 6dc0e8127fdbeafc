"""Queries of the Go, Java and C# clients of InfluxDB 3: tickets and metadata as their sources write them.

None of these clients runs here. Their tickets have the same members, and differ in bytes by their encoders of JSON:

| client | source | bytes |
|---|---|---|
| Go | influxdb3/query.go (b0f7542a, 04f33506) | members in the order of their names; `<`, `>` and `&` are escaped |
| Java | internal/FlightSqlClient.java (02635449) | as Jackson writes a map |
| C# | Client/Internal/FlightSqlClient.cs (3104f13e) | `/` is escaped; parameters are appended |
| C#, first versions | Client/Internal/FlightSqlClient.cs (0f831c8b) | a command of Flight SQL, with the database as metadata |
"""

import json
import unittest

import flightsql.flightsql_pb2 as flight_sql
import pyarrow
from flight_connection import COLUMN_TYPE, Connection
from google.protobuf import any_pb2
from pyarrow import flight
from server import TestCase, write_lines

DATABASE = "client-tickets"
TIME = 1_726_000_000_000_000_000
PARAMETERS = {"room": "Kitchen", "least": 20.5, "open": True, "hum": 36}
SQL = (
    "SELECT room, temp, hum, wide, open, note, time FROM home "
    "WHERE room = $room AND temp > $least AND open = $open AND hum = $hum AND note = 'a/b' AND note <> '&'"
)
ROW = {"room": "Kitchen", "temp": 22.5, "hum": 36, "wide": 7, "open": True, "note": "a/b"}
# What the clients make of a column follows from this metadata, or else from its type.
COLUMNS = {
    "room": (pyarrow.string(), b"iox::column_type::tag"),
    "temp": (pyarrow.float64(), b"iox::column_type::field::float"),
    "hum": (pyarrow.int64(), b"iox::column_type::field::integer"),
    "wide": (pyarrow.uint64(), b"iox::column_type::field::uinteger"),
    "open": (pyarrow.bool_(), b"iox::column_type::field::boolean"),
    "note": (pyarrow.string(), b"iox::column_type::field::string"),
    "time": (pyarrow.timestamp("ns"), b"iox::column_type::timestamp"),
}


def setUpModule():
    write_lines(
        DATABASE,
        f'home,room=Kitchen temp=22.5,hum=36i,wide=7u,open=true,note="a/b" {TIME}',
        f"home,room=Attic temp=18 {TIME}",
    )


def compact(value, **more):
    return json.dumps(value, separators=(",", ":"), **more)


def members(query, language, database):
    return {"database": database, "sql_query": query, "query_type": language}


def go(query, language, parameters, database):
    ticket = members(query, language, database)
    if parameters:
        ticket["params"] = parameters
    text = compact(ticket, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def java(query, language, parameters, database):
    ticket = members(query, language, database)
    if parameters:
        ticket["params"] = parameters
    return compact(ticket)


def csharp(query, language, parameters, database):
    def encode(value):
        return compact(value).replace("/", "\\/")

    text = encode(members(query, language, database))
    return text.rstrip("}") + f',"params": {encode(parameters)}}}' if parameters else text


class Clients(TestCase):
    def connect(self, agent):
        connection = Connection(generic_options=[("grpc.primary_user_agent", agent)])
        self.addCleanup(connection.client.close)
        return connection

    def check(self, agent, encode):
        """Checks the answers to the tickets of a client."""
        connection = self.connect(agent)

        def get(query, language="sql", parameters=None, database=DATABASE, **options):
            return connection.get(flight.Ticket(encode(query, language, parameters, database).encode()), **options)

        table = get(SQL, parameters=PARAMETERS).read_all()
        columns = {field.name: (field.type, (field.metadata or {}).get(COLUMN_TYPE)) for field in table.schema}
        self.assertEqual(columns, COLUMNS)
        self.assertEqual(table.drop_columns("time").to_pylist(), [ROW])
        self.assertEqual(table["time"][0].value, TIME)

        query = "SELECT temp FROM home WHERE room = $room"
        table = get(query, "influxql", {"room": "Attic"}).read_all()
        self.assertEqual(table.select(["iox::measurement", "temp"]).to_pylist(), [{"iox::measurement": "home", "temp": 18.0}])
        self.assertEqual(table["time"][0].value, TIME)

        # An answer without rows has its columns, from which the clients build their readers.
        self.assertEqual(get("SELECT room FROM home WHERE room = 'none'").read_all().schema.names, ["room"])

        with self.assertRaises(pyarrow.ArrowKeyError) as caught:
            get("SELECT 1", database="no-such-database").read_all()
        self.assertIn("database not found: no-such-database", str(caught.exception))
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            get("SELECT nothing FROM home").read_all()
        self.assertIn("nothing", str(caught.exception))
        with self.assertRaises(flight.FlightUnauthenticatedError):
            get("SELECT 1", headers={"authorization": "Bearer apiv3_wrong"}).read_all()

    def test_go(self):
        self.check("influxdb3-go/2.10.0 (linux; amd64)", go)

    def test_java(self):
        self.check("influxdb3-java/1.9.0", java)

    def test_csharp(self):
        self.check("influxdb3-csharp/1.8.0.0", csharp)

    def test_csharp_in_its_first_versions(self):
        connection = self.connect("influxdb3-csharp/0.1.0.0")
        command = any_pb2.Any()
        command.Pack(flight_sql.CommandStatementQuery(query="SELECT room, temp FROM home ORDER BY room"))
        descriptor = flight.FlightDescriptor.for_command(command.SerializeToString())
        headers = {"database": DATABASE}
        info = connection.client.get_flight_info(descriptor, connection.call_options(headers))
        tables = [connection.get(endpoint.ticket, headers).read_all() for endpoint in info.endpoints]
        rows = pyarrow.concat_tables(tables).to_pylist()
        self.assertEqual(rows, [{"room": "Attic", "temp": 18.0}, {"room": "Kitchen", "temp": 22.5}])


if __name__ == "__main__":
    unittest.main()
