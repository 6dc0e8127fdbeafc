"""The client library of InfluxDB 3, `influxdb3-python`: writes in batches.

| of the library | tests |
|---|---|
| `batch_size`, `flush_interval`, `jitter_interval`, `flush`, `close`, `max_close_wait` | `Batches` |
| every kind of record, databases and precisions in one batch | `Records` |
| `success_callback`, `error_callback` | `Batches`, `Errors` |
| `retry_callback`, `retry_interval`, `max_retries`, `max_retry_time`, `exponential_base`, `Retry-After` | `Retries` |
"""

import http.server
import threading
import time
import unittest
import urllib.error
import urllib.request

import pandas
import polars
import reactivex
from influxdb_client_3 import (
    InfluxDBClient3,
    InfluxDBError,
    Point,
    WriteOptions,
    write_client_options,
)
from influxdb_client_3.exceptions import InfluxDBPartialWriteError
from server import TOKEN, URL, TestCase, sql

# Maximum wait for an effect in seconds.
LIMIT = 60


class Callbacks:
    """Records what a client calls back."""

    def __init__(self):
        self.success, self.error, self.retry = [], [], []

    def options(self, **options):
        return write_client_options(
            success_callback=lambda settings, data: self.success.append((settings, data)),
            error_callback=lambda settings, data, exception: self.error.append(exception),
            retry_callback=lambda settings, data, exception: self.retry.append(exception),
            write_options=WriteOptions(
                **{"batch_size": 100, "flush_interval": 60_000, "jitter_interval": 0, **options}
            ),
        )


class BatchTest(TestCase):
    def setUp(self):
        self.callbacks = Callbacks()

    def connect(self, database, host=URL, **options):
        options = self.callbacks.options(**options)
        return InfluxDBClient3(host=host, token=TOKEN, database=database, write_client_options=options)

    def assertCalled(self, success, error=0, retry=0):
        called = tuple(map(len, (self.callbacks.success, self.callbacks.error, self.callbacks.retry)))
        self.assertEqual(called, (success, error, retry), self.callbacks.error)


class Batches(BatchTest):
    def test_batches_of_a_size(self):
        with self.connect("py3-batches") as client:
            client.write([Point("m").field("n", n).time(n + 1) for n in range(250)])
        self.assertCalled(success=3)
        sizes = sorted(len(data.splitlines()) for _, data in self.callbacks.success)
        self.assertEqual(sizes, [50, 100, 100])
        self.assertEqual({settings for settings, _ in self.callbacks.success}, {("py3-batches", "default", "ns")})
        self.assertStored("py3-batches", "SELECT count(*) AS n FROM m", [{"n": 250}])

    def test_batches_of_a_time(self):
        with self.connect("py3-interval", flush_interval=100, jitter_interval=50) as client:
            client.write("m v=1i 1")
            end = time.monotonic() + LIMIT
            while not self.callbacks.success and time.monotonic() < end:
                time.sleep(0.05)
            self.assertStored("py3-interval", "SELECT v FROM m", [{"v": 1}])
        self.assertCalled(success=1)

    def test_flush_writes_what_waits(self):
        with self.connect("py3-flush") as client:
            for number in range(3):
                client.write(f"m v={number}i {number}")
                client.flush()
                self.assertStored("py3-flush", "SELECT count(*) AS n FROM m", [{"n": number + 1}])
        self.assertCalled(success=3)

    def test_closing_writes_what_waits(self):
        client = self.connect("py3-close", max_close_wait=60_000)
        client.write([f"m v={number}i {number}" for number in range(10)])
        client.close()
        self.assertCalled(success=1)
        self.assertStored("py3-close", "SELECT count(*) AS n FROM m", [{"n": 10}])

    def test_threads_share_a_client(self):
        def work(thread):
            for number in range(200):
                client.write(f"m,thread={thread} v={number}i {number}")

        with self.connect("py3-threads") as client:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertStored("py3-threads", "SELECT count(*) AS n FROM m", [{"n": 800}])

    def test_callbacks_that_fail_do_no_harm(self):
        def fail(*_):
            raise RuntimeError("a callback")

        options = write_client_options(success_callback=fail, write_options=WriteOptions(flush_interval=100))
        with InfluxDBClient3(host=URL, token=TOKEN, database="py3-fail", write_client_options=options) as client:
            client.write("m v=1i 1")
        self.assertStored("py3-fail", "SELECT v FROM m", [{"v": 1}])


class Records(BatchTest):
    def test_every_kind_of_record(self):
        with self.connect("py3-batch-kinds") as client:
            client.write("m,kind=line v=1i 1")
            client.write(b"m,kind=bytes v=2i 2")
            client.write(Point("m").tag("kind", "point").field("v", 3).time(3))
            client.write({"measurement": "m", "tags": {"kind": "dictionary"}, "fields": {"v": 4}, "time": 4})
            times = pandas.to_datetime([5], unit="ns", utc=True)
            frame = pandas.DataFrame({"kind": ["pandas"], "v": [5], "time": times})
            client.write_dataframe(frame, measurement="m", timestamp_column="time", tags=["kind"])
            frame = polars.DataFrame({"kind": ["polars"], "v": [6], "time": [6]})
            client.write_dataframe(frame, measurement="m", timestamp_column="time", tags=["kind"])
            client.write(reactivex.from_iterable(["m,kind=observable v=7i 7"]))
        kinds = ["line", "bytes", "point", "dictionary", "pandas", "polars", "observable"]
        rows = [{"kind": kind, "v": number} for number, kind in enumerate(kinds, 1)]
        self.assertStored("py3-batch-kinds", "SELECT kind, v FROM m ORDER BY v", rows)

    def test_databases_and_precisions_are_batches_of_their_own(self):
        with self.connect("py3-keys-a") as client:
            for database in ["py3-keys-a", "py3-keys-b"]:
                client.write("m v=1i 1704164645", write_precision="s", database=database)
                client.write("m,t=a v=1i 1704164645000", write_precision="ms", database=database)
        self.assertCalled(success=4)
        for database in ["py3-keys-a", "py3-keys-b"]:
            self.assertStored(database, "SELECT DISTINCT time FROM m", [{"time": "2024-01-02T03:04:05"}])

    def test_a_large_frame(self):
        count = 5_000
        frame = pandas.DataFrame({"v": range(count), "time": pandas.date_range("2024-01-01", periods=count, freq="s")})
        with self.connect("py3-batch-frame", batch_size=500) as client:
            client.write_dataframe(frame, measurement="m", timestamp_column="time")
        self.assertStored("py3-batch-frame", "SELECT count(*) AS n, max(v) AS v FROM m", [{"n": count, "v": count - 1}])


class Errors(BatchTest):
    def test_a_refused_batch_does_not_hold_up_others(self):
        with self.connect("py3-mixed") as client:
            client.write([f"m v={n}i {n}" for n in range(100)])
            client.flush()
            client.write([f'm v="text" {n + 1_000}' for n in range(100)])
            client.write([f"m v={n}i {n + 2_000}" for n in range(100)])
        self.assertCalled(success=2, error=1)
        [error] = self.callbacks.error
        self.assertIsInstance(error, InfluxDBError)
        self.assertEqual(error.response.status, 400)
        self.assertStored("py3-mixed", "SELECT count(*) AS n FROM m", [{"n": 200}])

    def test_refused_lines_of_a_batch_are_named(self):
        with self.connect("py3-batch-partial", use_v2_api=False) as client:
            client.write(["m v=1i 1", "m v=2i 2", "m v= 3"])
        self.assertCalled(success=0, error=1)
        [error] = self.callbacks.error
        self.assertIsInstance(error, InfluxDBPartialWriteError)
        self.assertEqual([line.line_number for line in error.line_errors], [3])
        self.assertStored("py3-batch-partial", "SELECT count(*) AS n FROM m", [{"n": 2}])


class Unavailable(http.server.ThreadingHTTPServer):
    """Answers the first requests with an error, and passes the others on to the server under test."""

    daemon_threads = True

    def __init__(self, failures, status=503, headers=None):
        super().__init__(("127.0.0.1", 0), _UnavailableRequest)
        self.failures, self.status, self.headers, self.requests = failures, status, headers or {}, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _UnavailableRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests += 1
        if server.requests <= server.failures:
            self.answer(server.status, b'{"error":"busy"}', server.headers)
            return
        headers = {name: self.headers[name] for name in ["Authorization", "Content-Type"]}
        request = urllib.request.Request(URL + self.path, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                self.answer(answer.status, answer.read(), {})
        except urllib.error.HTTPError as answer:
            self.answer(answer.code, answer.read(), {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Retries(BatchTest):
    def unavailable(self, *arguments, **options):
        server = Unavailable(*arguments, **options)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def write(self, server, database, **options):
        with self.connect(database, host=server.url, retry_interval=10, max_retry_delay=100, **options) as client:
            client.write(["m v=1i 1", "m v=2i 2"])

    def test_a_batch_is_written_when_the_server_is_available_again(self):
        server = self.unavailable(3)
        self.write(server, "py3-retries", exponential_base=2)
        self.assertCalled(success=1, retry=3)
        self.assertEqual(server.requests, 4)
        self.assertTrue(all(isinstance(error, InfluxDBError) for error in self.callbacks.retry))
        self.assertStored("py3-retries", "SELECT count(*) AS n FROM m", [{"n": 2}])

    def test_the_client_waits_as_long_as_the_server_says(self):
        server = self.unavailable(1, headers={"Retry-After": "1"})
        begun = time.monotonic()
        self.write(server, "py3-retry-after")
        self.assertGreater(time.monotonic() - begun, 0.9)
        self.assertEqual(self.callbacks.retry[0].retry_after, "1")
        self.assertStored("py3-retry-after", "SELECT count(*) AS n FROM m", [{"n": 2}])

    def test_too_many_requests(self):
        server = self.unavailable(2, status=429)
        self.write(server, "py3-429")
        self.assertCalled(success=1, retry=2)

    def test_a_client_gives_up_after_its_maximum(self):
        server = self.unavailable(100)
        self.write(server, "py3-gives-up", max_retries=2)
        self.assertCalled(success=0, error=1, retry=2)
        self.assertEqual(server.requests, 3)

    def test_errors_of_the_client_are_not_retried(self):
        server = self.unavailable(100, status=400)
        self.write(server, "py3-no-retry")
        self.assertCalled(success=0, error=1)
        self.assertEqual(server.requests, 1)

    def test_rows_that_are_sent_twice_are_stored_once(self):
        for _ in range(2):
            self.write(self.unavailable(0), "py3-twice")
        self.assertEqual(sql("py3-twice", "SELECT count(*) AS n FROM m"), [{"n": 2}])


if __name__ == "__main__":
    unittest.main()
