"""The client library of InfluxDB 3, `influxdb3-python`: queries.

| of the library | tests |
|---|---|
| `query` in each mode: `all`, `pandas`, `polars`, `reader`, `chunk`, `schema`; an unknown mode is `all` | `Modes` |
| `query_async` in each mode, also many at once | `Async` |
| `query_dataframe` with pandas and polars | `Frames` |
| `language="influxql"` | `Influxql` |
| `query_parameters`, `database=`, `headers=`, `timeout=` of a query | `Arguments` |
| timeouts, compression, ports, schemes of authorization, `flight_client_options` of a client | `Options` |
| `from_env` | `Environment` |
| `InfluxDB3ClientQueryError` | `Errors` |
| the program `influx3 query` | `Program` |
| `get_server_version`, `close`, `with` | `Modes`, `Errors` |

Not tested: `proxy`, `cert_file`. TLS is in `test_tls`.
"""

import asyncio
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import pandas
import polars
import pyarrow
from influxdb_client_3 import InfluxDBClient3, flight_client_options
from influxdb_client_3.exceptions import InfluxDB3ClientError, InfluxDB3ClientQueryError
from pyarrow import flight
from server import HOST, PORT, TOKEN, URL, TestCase, create_token, write_lines

DATABASE = "py3-queries"
QUERY = "SELECT room, temp, co, time FROM home ORDER BY room"
TIME = pandas.Timestamp("2022-01-01T08:00:00")
ROWS = [
    {"room": "Attic", "temp": None, "co": 8, "time": TIME + pandas.Timedelta(1, "ns")},
    {"room": "Kitchen", "temp": 21.5, "co": 7, "time": TIME},
]
MODES = {
    "all": lambda answer: answer.to_pylist(),
    "pandas": lambda answer: [
        {**row, "temp": None if pandas.isna(row["temp"]) else row["temp"]} for row in answer.to_dict("records")
    ],
    "reader": lambda answer: answer.read_all().to_pylist(),
    "chunk": lambda answer: [row for piece in answer for row in piece.data.to_pylist()],
    "no such mode": lambda answer: answer.to_pylist(),
}


def setUpModule():
    write_lines(
        DATABASE,
        "home,room=Kitchen temp=21.5,co=7i 1641024000000000000",
        "home,room=Attic co=8i 1641024000000000001",
    )


def connect(**options):
    return InfluxDBClient3(**{"host": URL, "token": TOKEN, "database": DATABASE, **options})


class ClientTest(TestCase):
    def setUp(self):
        self.client = connect()
        self.addCleanup(self.client.close)


class Modes(ClientTest):
    def test_each_mode(self):
        for mode, rows in MODES.items():
            with self.subTest(mode):
                self.assertEqual(rows(self.client.query(QUERY, mode=mode)), ROWS)

    def test_the_types_of_each_mode(self):
        for mode, expected in [
            ("all", pyarrow.Table),
            ("pandas", pandas.DataFrame),
            ("polars", polars.DataFrame),
            ("reader", pyarrow.RecordBatchReader),
            ("chunk", flight.FlightStreamReader),
            ("schema", pyarrow.Schema),
        ]:
            with self.subTest(mode):
                self.assertIsInstance(self.client.query(QUERY, mode=mode), expected)

    def test_a_schema(self):
        schema = self.client.query("SELECT * FROM home", mode="schema")
        self.assertEqual(schema.names, ["co", "room", "temp", "time"])
        self.assertEqual(schema.field("room").metadata, {b"iox::column::type": b"iox::column_type::tag"})

    def test_chunks_one_by_one(self):
        reader = self.client.query(QUERY, mode="chunk")
        rows = []
        try:
            while True:
                batch, metadata = reader.read_chunk()
                rows += batch.to_pylist()
        except StopIteration:
            pass
        self.assertEqual(rows, ROWS)

    def test_polars(self):
        frame = self.client.query(QUERY, mode="polars")
        self.assertEqual(frame["room"].to_list(), ["Attic", "Kitchen"])
        self.assertEqual(frame.schema["time"], polars.Datetime("ns"))
        self.assertEqual(frame["temp"].to_list(), [None, 21.5])

    def test_an_answer_without_rows(self):
        query = "SELECT * FROM home WHERE room = 'nowhere'"
        self.assertEqual(self.client.query(query).num_rows, 0)
        self.assertEqual(list(self.client.query(query, mode="pandas").columns), ["co", "room", "temp", "time"])
        self.assertEqual(self.client.query(query, mode="polars").shape, (0, 4))
        self.assertEqual(list(self.client.query(query, mode="reader")), [])

    def test_many_rows(self):
        write_lines("py3-many", *(f"m,t=t{n % 100} v={n}i {n}" for n in range(50_000)))
        with connect(database="py3-many") as client:
            self.assertEqual(client.query("SELECT * FROM m").num_rows, 50_000)
            self.assertEqual(client.query("SELECT v FROM m", mode="pandas")["v"].sum(), 1_249_975_000)
            batches = [piece.data.num_rows for piece in client.query("SELECT * FROM m", mode="chunk")]
            self.assertEqual(sum(batches), 50_000)

    def test_what_was_written_with_the_same_client(self):
        with connect(database="py3-both") as client:
            for number in range(10):
                client.write(f"m v={number}i {number}")
                rows = client.query("SELECT count(*) AS n, max(v) AS v FROM m").to_pylist()
                self.assertEqual(rows, [{"n": number + 1, "v": number}])

    def test_metadata_queries(self):
        tables = self.client.query("SHOW TABLES").to_pylist()
        self.assertIn(("iox", "home"), [(row["table_schema"], row["table_name"]) for row in tables])
        columns = self.client.query("SHOW COLUMNS FROM home").to_pylist()
        self.assertEqual([row["column_name"] for row in columns], ["co", "room", "temp", "time"])
        self.assertGreater(self.client.query("SELECT * FROM system.queries").num_rows, 0)
        self.assertGreater(self.client.query("EXPLAIN SELECT * FROM home").num_rows, 0)

    def test_the_version_of_the_server(self):
        self.assertRegex(self.client.get_server_version(), r"^\d+\.\d+\.\d+")


class Async(ClientTest):
    def test_each_mode(self):
        for mode, rows in MODES.items():
            with self.subTest(mode):
                answer = asyncio.run(self.client.query_async(QUERY, mode=mode))
                self.assertEqual(rows(answer), ROWS)
        self.assertEqual(asyncio.run(self.client.query_async(QUERY, mode="polars")).height, 2)
        self.assertEqual(len(asyncio.run(self.client.query_async(QUERY, mode="schema"))), 4)

    def test_many_at_once(self):
        async def ask():
            queries = [self.client.query_async(f"SELECT {number} AS n FROM home LIMIT 1") for number in range(50)]
            return [answer.to_pylist() for answer in await asyncio.gather(*queries)]

        self.assertEqual(asyncio.run(ask()), [[{"n": number}] for number in range(50)])

    def test_parameters_languages_and_errors(self):
        async def ask(query, **more):
            return (await self.client.query_async(query, **more)).to_pylist()

        rows = asyncio.run(ask("SELECT co FROM home WHERE room = $room", query_parameters={"room": "Attic"}))
        self.assertEqual(rows, [{"co": 8}])
        self.assertIn("name", asyncio.run(ask("SHOW MEASUREMENTS", language="influxql"))[0])
        with self.assertRaises(InfluxDB3ClientQueryError):
            asyncio.run(ask("SELEC"))


class Frames(ClientTest):
    def test_pandas(self):
        frame = self.client.query_dataframe(QUERY)
        self.assertIsInstance(frame, pandas.DataFrame)
        self.assertEqual(frame["room"].tolist(), ["Attic", "Kitchen"])
        self.assertEqual(frame["time"].tolist(), [row["time"] for row in ROWS])

    def test_polars(self):
        frame = self.client.query_dataframe(QUERY, frame_type="polars")
        self.assertIsInstance(frame, polars.DataFrame)
        self.assertEqual(frame["co"].to_list(), [8, 7])

    def test_influxql_and_parameters(self):
        frame = self.client.query_dataframe(
            "SELECT co FROM home WHERE room = $room AND time >= 0",
            language="influxql",
            query_parameters={"room": "Attic"},
        )
        self.assertEqual(frame["co"].tolist(), [8])

    def test_a_frame_that_was_read_can_be_written(self):
        for frame_type in ["pandas", "polars"]:
            frame = self.client.query_dataframe("SELECT * FROM home", frame_type=frame_type)
            table = f"copy_{frame_type}"
            self.client.write_dataframe(frame, measurement=table, timestamp_column="time", tags=["room"])
            rows = self.client.query(f"SELECT room, temp, co, time FROM {table} ORDER BY room").to_pylist()
            self.assertEqual(rows, ROWS)


class Influxql(ClientTest):
    def ask(self, query, **more):
        return self.client.query(query, language="influxql", **more).to_pylist()

    def test_rows(self):
        rows = self.ask("SELECT co FROM home")
        self.assertEqual([row["co"] for row in rows], [7, 8])
        self.assertEqual({row["iox::measurement"] for row in rows}, {"home"})

    def test_aggregates(self):
        rows = self.ask("SELECT mean(co) FROM home WHERE time >= 0 GROUP BY room")
        self.assertEqual([(row["room"], row["mean"]) for row in rows], [("Attic", 8.0), ("Kitchen", 7.0)])

    def test_metadata(self):
        self.assertIn({"iox::measurement": "measurements", "name": "home"}, self.ask("SHOW MEASUREMENTS"))
        rows = self.ask("SHOW FIELD KEYS FROM home")
        self.assertEqual([(row["fieldKey"], row["fieldType"]) for row in rows], [("co", "integer"), ("temp", "float")])
        self.assertEqual([row["tagKey"] for row in self.ask("SHOW TAG KEYS FROM home WHERE time >= 0")], ["room"])

    def test_each_mode(self):
        query = "SELECT co FROM home"
        self.assertEqual(self.client.query(query, language="influxql", mode="pandas")["co"].tolist(), [7, 8])
        self.assertEqual(self.client.query(query, language="influxql", mode="polars")["co"].to_list(), [7, 8])
        names = self.client.query(query, language="influxql", mode="schema").names
        self.assertEqual(names, ["iox::measurement", "time", "co"])


class Arguments(ClientTest):
    def test_parameters(self):
        query = "SELECT room FROM home WHERE co > $co AND room <> $room AND temp IS NULL = $null AND time >= $time"
        values = {"co": 7, "room": "Kitchen", "null": True, "time": "2022-01-01T00:00:00Z"}
        self.assertEqual(self.client.query(query, query_parameters=values).to_pylist(), [{"room": "Attic"}])

    def test_another_database(self):
        write_lines("py3-other", "m v=1i 1")
        rows = self.client.query("SELECT v FROM m", database="py3-other").to_pylist()
        self.assertEqual(rows, [{"v": 1}])

    def test_headers(self):
        first = write_lines("py3-headers", "m v=1i 1")
        write_lines("py3-headers", "m v=2i 2")
        headers = [(b"x-neap-as-of", first.encode())]
        query = "SELECT count(*) AS n FROM m"
        rows = self.client.query(query, database="py3-headers", headers=headers).to_pylist()
        self.assertEqual(rows, [{"n": 1}])

    def test_a_timeout(self):
        endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
        with self.assertRaises(InfluxDB3ClientQueryError) as caught:
            self.client.query(endless, timeout=0.5)
        # The client or the server notices first.
        self.assertIn("deadline", str(caught.exception).lower())


class Options(TestCase):
    def test_a_query_timeout(self):
        endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
        with connect(query_timeout=500) as client, self.assertRaises(InfluxDB3ClientQueryError):
            client.query(endless)
        with connect(query_timeout=60_000) as client:
            self.assertEqual(client.query(QUERY).to_pylist(), ROWS)

    def test_without_compression(self):
        for disabled in [True, False]:
            with connect(disable_grpc_compression=disabled) as client:
                self.assertEqual(client.query("SELECT repeat('x', 100000) AS s FROM home").num_rows, 2)

    def test_flight_options(self):
        options = flight_client_options(generic_options=[("grpc.max_receive_message_length", 64 << 20)])
        with connect(flight_client_options=options) as client:
            self.assertEqual(client.query(QUERY).to_pylist(), ROWS)

    def test_ports(self):
        host = f"http://{HOST}:1"
        with connect(host=host, write_port_overwrite=int(PORT), query_port_overwrite=int(PORT)) as client:
            client.write("m v=1i 1", database="py3-ports")
            self.assertEqual(client.query("SELECT v FROM m", database="py3-ports").to_pylist(), [{"v": 1}])

    def test_schemes_of_authorization(self):
        for scheme in ["Bearer", "Token", None]:
            with connect(auth_scheme=scheme, org="any") as client:
                client.write("m v=1i 1", database="py3-schemes")
                self.assertEqual(client.query("SELECT v FROM m", database="py3-schemes").num_rows, 1)


class Environment(TestCase):
    def test_a_client_from_the_environment(self):
        variables = {
            "INFLUX_HOST": URL,
            "INFLUX_TOKEN": TOKEN,
            "INFLUX_DATABASE": "py3-environment",
            "INFLUX_ORG": "any",
            "INFLUX_PRECISION": "second",
            "INFLUX_AUTH_SCHEME": "Bearer",
            "INFLUX_GZIP_THRESHOLD": "1",
            "INFLUX_WRITE_NO_SYNC": "false",
            "INFLUX_WRITE_ACCEPT_PARTIAL": "true",
            "INFLUX_WRITE_USE_V2_API": "false",
            "INFLUX_WRITE_TIMEOUT": "30000",
            "INFLUX_QUERY_TIMEOUT": "30000",
            "INFLUX_DISABLE_GRPC_COMPRESSION": "true",
        }
        with mock.patch.dict(os.environ, variables), InfluxDBClient3.from_env() as client:
            client.write("m v=1i 1641024000")
            rows = client.query("SELECT v, time FROM m").to_pylist()
        self.assertEqual(rows, [{"v": 1, "time": TIME}])

    def test_variables_are_required(self):
        with mock.patch.dict(os.environ, {"INFLUX_HOST": URL}, clear=True), self.assertRaises(ValueError):
            InfluxDBClient3.from_env()


class Errors(ClientTest):
    def check(self, client, query, *messages, **more):
        with self.assertRaises(InfluxDB3ClientQueryError) as caught:
            client.query(query, **more)
        self.assertIsInstance(caught.exception, InfluxDB3ClientError)
        for message in messages:
            self.assertIn(message, caught.exception.message)

    def test_statements(self):
        self.check(self.client, "SELEC 1", "Error while planning query")
        self.check(self.client, "SELECT * FROM nothing", "nothing")
        self.check(self.client, "SELECT nothing FROM home", "nothing")
        self.check(self.client, "SELEC 1", language="influxql")

    def test_databases(self):
        self.check(self.client, QUERY, "database not found: py3-nothing", database="py3-nothing")

    def test_languages(self):
        self.check(self.client, QUERY, "Invalid ticket", language="promql")

    def test_parameters(self):
        self.check(self.client, "SELECT $p", "p")

    def test_tokens(self):
        with connect(token="apiv3_wrong") as client:
            self.check(client, QUERY, "Unauthenticated")
        reader = create_token("py3-reader", ("py3-nothing", "read"))
        with connect(token=reader) as client:
            self.check(client, QUERY, "Permission denied")

    def test_servers_that_are_not_there(self):
        with connect(query_port_overwrite=1) as client:
            self.check(client, QUERY)

    def test_a_closed_client(self):
        client = connect()
        client.close()
        with self.assertRaises(Exception):
            client.query(QUERY)

    def test_in_each_mode(self):
        for mode in ["all", "pandas", "polars", "reader", "chunk", "schema"]:
            self.check(self.client, "SELEC", mode=mode)


class Program(TestCase):
    def run_program(self, *arguments, status=0, **variables):
        command = [sys.executable, "-m", "influxdb_client_3", "query", *arguments]
        environment = {"PATH": os.environ["PATH"], **variables}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        self.assertEqual(ended.returncode, status, ended.stderr)
        return ended.stdout if status == 0 else json.loads(ended.stderr)["error"]

    def ask(self, *arguments, **more):
        return self.run_program(*arguments, "-H", URL, "-d", DATABASE, "--token", TOKEN, **more)

    def test_each_format(self):
        query = "SELECT room, co FROM home ORDER BY room"
        rows = [{"room": "Attic", "co": 8}, {"room": "Kitchen", "co": 7}]
        self.assertEqual(json.loads(self.ask(query)), rows)
        lines = self.ask(query, "--format", "jsonl").splitlines()
        self.assertEqual([json.loads(line) for line in lines], rows)
        self.assertEqual(self.ask(query, "--format", "csv").splitlines(), ["room,co", "Attic,8", "Kitchen,7"])
        self.assertIn("Kitchen | 7", self.ask(query, "--format", "pretty"))

    def test_variables_files_and_languages(self):
        variables = {"INFLUXDB3_HOST_URL": URL, "INFLUXDB3_DATABASE_NAME": DATABASE, "INFLUXDB3_AUTH_TOKEN": TOKEN}
        with tempfile.TemporaryDirectory() as folder:
            question, answer = pathlib.Path(folder, "query.txt"), pathlib.Path(folder, "answer.json")
            question.write_text("SELECT co FROM home WHERE room = 'Attic'")
            files = ["--file", str(question), "--output", str(answer)]
            self.run_program(*files, "--language", "influxql", "--query-timeout", "60000", **variables)
            [row] = json.loads(answer.read_text())
        self.assertEqual((row["co"], datetime.datetime.fromisoformat(row["time"]).year), (8, 2022))

    def test_errors(self):
        self.assertIn("not found", self.ask("SELECT * FROM nothing", status=1))


if __name__ == "__main__":
    unittest.main()
