"""The client library of InfluxDB 2, `influxdb-client`: writes and deletes."""

import threading
import time
import unittest
import warnings
from datetime import datetime, timezone

import pandas
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from server import TOKEN, URL, TestCase, sql

ORG = "any"


def connect(token=TOKEN, **options):
    return InfluxDBClient(url=URL, token=token, org=ORG, **options)


class Writing(TestCase):
    def setUp(self):
        self.client = connect()
        self.api = self.client.write_api(write_options=SYNCHRONOUS)
        self.addCleanup(self.client.close)

    def test_points_of_all_types(self):
        point = (
            Point("home")
            .tag("room", "Living Room")
            .tag("note", "a=b, c")
            .field("temp", 21.5)
            .field("co", 7)
            .field("open", True)
            .field("name", 'say "hi" \\ bye')
            .time(datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc))
        )
        self.api.write(bucket="points", record=point)
        self.assertStored(
            "points",
            "SELECT * FROM home",
            [
                {
                    "co": 7,
                    "name": 'say "hi" \\ bye',
                    "note": "a=b, c",
                    "open": True,
                    "room": "Living Room",
                    "temp": 21.5,
                    "time": "2024-01-02T03:04:05.678901",
                }
            ],
        )

    def test_every_precision(self):
        for precision, value in [
            (WritePrecision.S, 1_704_164_645),
            (WritePrecision.MS, 1_704_164_645_000),
            (WritePrecision.US, 1_704_164_645_000_000),
            (WritePrecision.NS, 1_704_164_645_000_000_000),
        ]:
            line = f"m,precision={precision} v=1i {value}"
            self.api.write(bucket="precisions", record=line, write_precision=precision)
        query = "SELECT DISTINCT time FROM m"
        self.assertStored("precisions", query, [{"time": "2024-01-02T03:04:05"}])
        self.assertStored("precisions", "SELECT count(*) AS n FROM m", [{"n": 4}])

    def test_lines_dictionaries_and_mixtures(self):
        record = {"measurement": "m", "tags": {"t": "a"}, "fields": {"v": 1.5}, "time": 1}
        self.api.write(bucket="kinds", record=["m,t=b v=2.5 2", record, Point("m").tag("t", "c").field("v", 3.5).time(3)])
        rows = [{"t": "a", "v": 1.5}, {"t": "b", "v": 2.5}, {"t": "c", "v": 3.5}]
        self.assertStored("kinds", "SELECT t, v FROM m ORDER BY t", rows)

    def test_dataframes(self):
        times = pandas.to_datetime(["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"])
        frame = pandas.DataFrame({"room": ["a", "b"], "temp": [1.5, None], "n": [1, 2]}, index=times)
        self.api.write(bucket="frames", record=frame, data_frame_measurement_name="home", data_frame_tag_columns=["room"])
        rows = [
            {"n": 1, "room": "a", "temp": 1.5, "time": "2024-01-01T00:00:00"},
            {"n": 2, "room": "b", "time": "2024-01-01T00:00:01"},
        ]
        self.assertStored("frames", "SELECT * FROM home ORDER BY room", rows)

    def test_compressed_requests(self):
        with connect(enable_gzip=True) as client:
            lines = [f"m,t={n % 10} v={n}i {n + 1}" for n in range(5_000)]
            client.write_api(write_options=SYNCHRONOUS).write(bucket="gzip", record=lines)
        self.assertStored("gzip", "SELECT count(v) AS n, sum(v) AS s FROM m", [{"n": 5_000, "s": 12_497_500}])

    def test_refused_lines_are_told_and_the_others_are_stored(self):
        self.api.write(bucket="refused", record="m v=1i 1")
        with self.assertRaises(ApiException) as caught:
            self.api.write(bucket="refused", record=["m v=2i 2", 'm v="text" 3'])
        self.assertEqual(caught.exception.status, 400)
        self.assertIn('line 2: field type conflict: input field \\"v\\"', str(caught.exception.body))
        self.assertStored("refused", "SELECT count(*) AS n FROM m", [{"n": 2}])

    def test_a_missing_bucket_is_told(self):
        with self.assertRaises(ApiException) as caught:
            self.api.write(bucket="", record="m v=1i 1")
        self.assertEqual(caught.exception.status, 400)

    def test_credentials_are_asked_for(self):
        with connect(token="wrong") as client, self.assertRaises(ApiException) as caught:
            client.write_api(write_options=SYNCHRONOUS).write(bucket="b", record="m v=1i 1")
        self.assertEqual(caught.exception.status, 401)


class Batching(TestCase):
    def write(self, bucket, lines, **options):
        """Writes in batches; what was told of them."""
        told = {"success": [], "error": [], "retry": []}

        def note(kind):
            return lambda conf, data, exception=None: told[kind].append((data, exception))

        options = WriteOptions(batch_size=500, flush_interval=1_000, jitter_interval=0, **options)
        callbacks = {f"{kind}_callback": note(kind) for kind in told}
        with connect() as client, client.write_api(write_options=options, **callbacks) as api:
            for line in lines:
                api.write(bucket=bucket, record=line)
        return told

    def test_batches_arrive_in_full(self):
        told = self.write("batches", [f"m,host=h{n % 7} v={n}i {n + 1}" for n in range(2_250)])
        self.assertEqual((len(told["success"]), told["error"], told["retry"]), (5, [], []))
        self.assertStored("batches", "SELECT count(v) AS n, max(v) AS m FROM m", [{"m": 2_249, "n": 2_250}])

    def test_a_refused_batch_does_not_hold_the_others_up(self):
        lines = [f"m v={n}i {n + 1}" for n in range(500)]
        wrong = [f'm v="text" {n + 1_000}' for n in range(500)]
        more = [f"m v={n}i {n + 2_000}" for n in range(500)]
        told = self.write("mixed", lines + wrong + more)
        self.assertEqual((len(told["success"]), len(told["error"]), told["retry"]), (2, 1, []))
        self.assertStored("mixed", "SELECT count(*) AS n FROM m", [{"n": 1_000}])

    def test_threads_share_a_client(self):
        def work(thread):
            for n in range(200):
                api.write(bucket="threads", record=f"m,thread={thread} v={n}i {n + 1}")

        options = WriteOptions(batch_size=100, flush_interval=500)
        with connect() as client, client.write_api(write_options=options) as api:
            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertStored("threads", "SELECT count(*) AS n FROM m", [{"n": 800}])


class Deleting(TestCase):
    def test_a_range_of_time_with_a_predicate(self):
        with connect() as client:
            lines = [f"m,t={tag} v=1i {second}" for tag in "ab" for second in range(100, 110)]
            api = client.write_api(write_options=SYNCHRONOUS)
            api.write(bucket="deleting", record=lines, write_precision=WritePrecision.S)
            start = datetime.fromtimestamp(103, timezone.utc)
            stop = datetime.fromtimestamp(105, timezone.utc)
            client.delete_api().delete(start, stop, '_measurement="m" AND t="a"', bucket="deleting")
            rows = [{"n": 7, "t": "a"}, {"n": 10, "t": "b"}]
            self.assertStored("deleting", "SELECT t, count(*) AS n FROM m GROUP BY t ORDER BY t", rows)
            client.delete_api().delete(start, stop, "", bucket="deleting")
            self.assertStored("deleting", "SELECT count(*) AS n FROM m WHERE t = 'b'", [{"n": 7}])

    def test_what_cannot_be_deleted_is_told(self):
        start, stop = "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
        with connect() as client, self.assertRaises(ApiException) as caught:
            client.delete_api().delete(start, stop, '_measurement="m"', bucket="nothing-here")
        self.assertEqual(caught.exception.status, 404)


class Asking(TestCase):
    def setUp(self):
        self.client = connect()
        self.addCleanup(self.client.close)

    def test_ping_version_and_health(self):
        self.assertTrue(self.client.ping())
        self.assertRegex(self.client.version(), r"^\d+\.\d+\.\d+$")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            health = self.client.health()
        self.assertEqual((health.name, health.status), ("influxdb", "pass"))
        self.assertEqual(self.client.ready().status, "ready")

    def test_what_is_not_there_is_not_found(self):
        with self.assertRaises(ApiException) as caught:
            self.client.tasks_api().find_tasks()
        self.assertEqual(caught.exception.status, 404)


if __name__ == "__main__":
    unittest.main()
