"""Large answers, answers that nobody reads to the end, cancellation, and many clients, with `pyarrow.flight`."""

import subprocess
import sys
import threading
import time
import unittest

import flightsql.flightsql_pb2 as flight_sql
import pyarrow
import pyarrow.compute
from flight_connection import Connection, json_ticket
from google.protobuf import any_pb2
from protobuf import chunk
from pyarrow import flight
from server import TestCase, create_token, sql, write_lines

DATABASE = "streams"
# More rows than any buffer between the server and a client has space for.
LARGE = "SELECT value AS v, repeat('x', 100) AS s FROM generate_series(1, 20000000)"
# Computes for hours.
ENDLESS = (
    "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 10000000) b WHERE a.value <> b.value"
)
CLIENTS = 100
# Maximum wait for an effect on the server in seconds.
LIMIT = 60


def setUpModule():
    write_lines(DATABASE, *(f"m,t=t{n % 10} v={n}i {n}" for n in range(10_000)))


def packed(command):
    message = any_pb2.Any()
    message.Pack(command)
    return message.SerializeToString()


def running():
    """Returns the number of running queries of the database, without the one that asks."""
    query = "SELECT count(*) AS n FROM system.queries WHERE running AND query_text NOT LIKE '%system.queries%'"
    return sql(DATABASE, query)[0]["n"]


def drain(stream):
    """Reads a stream to its end. `read_all` turns a cancellation into `KeyboardInterrupt`."""
    for _ in stream:
        pass


class StreamsTest(TestCase):
    def setUp(self):
        self.connection = Connection()
        self.addCleanup(self.connection.client.close)

    def assertEnds(self):
        """Waits until the server runs no query."""
        end = time.monotonic() + LIMIT
        while running():
            self.assertLess(time.monotonic(), end, "a query still runs")
            time.sleep(0.1)


class Large(StreamsTest):
    def test_a_large_answer_comes_in_batches(self):
        query = "SELECT value AS v FROM generate_series(1, 2000000)"
        stream = self.connection.get(json_ticket(DATABASE, query))
        rows, total, batches = 0, 0, 0
        for piece in stream:
            batches += 1
            rows += piece.data.num_rows
            total += pyarrow.compute.sum(piece.data.column(0)).as_py() or 0
        self.assertEqual((rows, total), (2_000_000, 2_000_001_000_000))
        self.assertGreater(batches, 10)

    def test_large_rows(self):
        # gRPC's limit of a message is 4 MiB for many clients.
        query = "SELECT repeat('x', 1000000) AS s FROM generate_series(1, 20)"
        options = [("grpc.max_receive_message_length", 4 << 20)]
        with Connection(generic_options=options) as connection:
            rows = connection.query(DATABASE, query).column(0).to_pylist()
        self.assertEqual(rows, ["x" * 1_000_000] * 20)

    def test_each_compression_that_a_client_can_offer(self):
        query = "SELECT value AS v, repeat('x', 100) AS s FROM generate_series(1, 100000)"
        # Bit 0 is identity, which every client has, bit 1 deflate, bit 2 gzip.
        for offer in [0b001, 0b011, 0b101, 0b111]:
            options = [("grpc.compression_enabled_algorithms_bitset", offer)]
            with self.subTest(offer), Connection(generic_options=options) as connection:
                self.assertEqual(connection.query(DATABASE, query).num_rows, 100_000)

    def test_compressed_requests(self):
        # 1 is deflate, 2 gzip.
        for algorithm in [1, 2]:
            options = [("grpc.default_compression_algorithm", algorithm)]
            with self.subTest(algorithm), Connection(generic_options=options) as connection:
                try:
                    rows = connection.query(DATABASE, f"SELECT '{'x' * 10_000}' AS s")
                    self.assertEqual(rows.num_rows, 1)
                except pyarrow.ArrowNotImplementedError as error:
                    self.assertIn("compress", str(error))


class Abandoned(StreamsTest):
    def begin(self, connection, query=LARGE):
        """Reads the first batch of an answer."""
        stream = connection.get(json_ticket(DATABASE, query))
        self.assertGreater(stream.read_chunk().data.num_rows, 0)
        return stream

    def test_a_cancelled_answer_ends_the_query(self):
        stream = self.begin(self.connection)
        stream.cancel()
        with self.assertRaises(flight.FlightCancelledError):
            drain(stream)
        self.assertEnds()
        self.assertEqual(self.connection.query(DATABASE, "SELECT 1 AS one").to_pylist(), [{"one": 1}])

    def test_a_client_that_disappears_ends_the_query(self):
        with Connection() as connection:
            stream = self.begin(connection)
            del stream
        self.assertEnds()

    def test_many_abandoned_answers_leave_nothing_behind(self):
        for _ in range(40):
            with Connection() as connection:
                self.begin(connection).cancel()
        self.assertEnds()
        self.assertEqual(self.connection.query(DATABASE, "SELECT count(*) AS n FROM m").to_pylist(), [{"n": 10_000}])

    def test_a_client_that_does_not_read_holds_up_nobody(self):
        streams = [self.begin(self.connection) for _ in range(8)]
        for _ in range(10):
            rows = self.connection.query(DATABASE, "SELECT count(*) AS n FROM m")
            self.assertEqual(rows.to_pylist(), [{"n": 10_000}])
        for stream in streams:
            stream.cancel()
        self.assertEnds()

    def test_a_client_that_is_killed_while_the_query_computes(self):
        code = f"from flight_connection import Connection; Connection().query({DATABASE!r}, {ENDLESS!r})"
        client = subprocess.Popen([sys.executable, "-B", "-c", code])
        try:
            end = time.monotonic() + LIMIT
            while not running():
                self.assertLess(time.monotonic(), end, "the query does not begin")
                time.sleep(0.05)
        finally:
            client.kill()
            client.wait()
        self.assertEnds()

    def test_a_deadline_ends_the_query(self):
        with self.assertRaises(flight.FlightTimedOutError):
            drain(self.connection.get(json_ticket(DATABASE, ENDLESS), timeout=1))
        self.assertEnds()


class Cancelled(StreamsTest):
    def info(self, query):
        self.options = self.connection.call_options({"database": DATABASE})
        descriptor = flight.FlightDescriptor.for_command(packed(flight_sql.CommandStatementQuery(query=query)))
        return self.connection.client.get_flight_info(descriptor, self.options)

    def cancel(self, action, body):
        return [result.body.to_pybytes() for result in self.connection.client.do_action((action, body), self.options)]

    def check(self, action, body_of):
        info = self.info(LARGE)
        stream = self.connection.client.do_get(info.endpoints[0].ticket, self.options)
        stream.read_chunk()
        [answer] = self.cancel(action, body_of(info))
        self.assertTrue(answer)
        with self.assertRaises(flight.FlightCancelledError):
            drain(stream)
        self.assertEnds()

    def test_cancel_flight_info(self):
        self.check("CancelFlightInfo", lambda info: chunk(1, info.serialize()))

    def test_cancel_query(self):
        self.check("CancelQuery", lambda info: packed(flight_sql.ActionCancelQueryRequest(info=info.serialize())))

    def test_a_query_that_does_not_run(self):
        # A query begins when its rows are requested.
        info = self.info(LARGE)
        with self.assertRaises(pyarrow.ArrowKeyError):
            self.cancel("CancelFlightInfo", chunk(1, info.serialize()))
        self.assertEqual(running(), 0)

    def test_a_query_of_another_token(self):
        info = self.info(LARGE)
        stream = self.connection.client.do_get(info.endpoints[0].ticket, self.options)
        stream.read_chunk()
        reader = create_token("streams-reader", (DATABASE, "read"))
        with Connection(token=reader) as other, self.assertRaises(pyarrow.ArrowKeyError):
            list(other.client.do_action(("CancelFlightInfo", chunk(1, info.serialize())), other.call_options()))
        self.assertGreater(stream.read_chunk().data.num_rows, 0)
        stream.cancel()
        self.assertEnds()


class Many(StreamsTest):
    def run_clients(self, work):
        """Runs a function with 100 clients, which begin at the same time."""
        barrier, failures = threading.Barrier(CLIENTS), []

        def client(number):
            try:
                with Connection() as connection:
                    barrier.wait(LIMIT)
                    work(connection, number)
            except Exception as error:
                failures.append(f"{number}: {error!r}")

        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_hundred_clients_query_at_once(self):
        def work(connection, number):
            for _ in range(5):
                query = f"SELECT count(*) AS n, sum(v) AS s FROM m WHERE v < {number * 100}"
                count = number * 100
                expected = {"n": count, "s": count * (count - 1) // 2 if count else None}
                assert connection.query(DATABASE, query).to_pylist() == [expected]

        self.run_clients(work)
        self.assertEnds()

    def test_a_hundred_clients_read_all_rows_at_once(self):
        def work(connection, number):
            rows = connection.query(DATABASE, "SELECT v FROM m")
            assert sorted(rows.column(0).to_pylist()) == list(range(10_000))

        self.run_clients(work)

    def test_a_hundred_clients_write_at_once(self):
        def work(connection, number):
            rows = pyarrow.table(
                {
                    "client": pyarrow.array([str(number)] * 100).dictionary_encode(),
                    "v": pyarrow.array(range(100)),
                    "time": pyarrow.array(range(100), pyarrow.timestamp("ns")),
                }
            )
            connection.put(flight.FlightDescriptor.for_path("many"), rows, {"database": DATABASE})

        self.run_clients(work)
        query = "SELECT count(*) AS n, count(DISTINCT client) AS c, sum(v) AS s FROM many"
        self.assertStored(DATABASE, query, [{"n": 10_000, "c": 100, "s": 495_000}])

    def test_a_hundred_streams_share_a_connection(self):
        failures = []

        def work(number):
            try:
                rows = self.connection.query(DATABASE, f"SELECT {number} AS n FROM m LIMIT 1000")
                assert rows.column(0).unique().to_pylist() == [number]
            except Exception as error:
                failures.append(f"{number}: {error!r}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
