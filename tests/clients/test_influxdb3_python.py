"""The client library of InfluxDB 3, `influxdb3-python`: writes."""

import unittest

import pandas
from influxdb_client_3 import (
    InfluxDBClient3,
    InfluxDBError,
    Point,
    WriteOptions,
    write_client_options,
)
from influxdb_client_3.exceptions import InfluxDBPartialWriteError
from influxdb_client_3.write_client.client.write_api import SYNCHRONOUS
from server import TOKEN, URL, TestCase


def connect(database, **options):
    return InfluxDBClient3(host=URL, token=TOKEN, database=database, **options)


def synchronous(**options):
    return write_client_options(write_options=WriteOptions(write_type=SYNCHRONOUS.write_type, **options))


class Writing(TestCase):
    def test_points_lines_and_dictionaries(self):
        with connect("py3") as client:
            client.write(Point("home").tag("room", "Kitchen").field("temp", 72).time(1))
            client.write("home,room=Living\\ Room temp=21i 1641024000", write_precision="s")
            record = {"measurement": "home", "tags": {"room": "Attic"}, "fields": {"temp": 3}, "time": 1_641_067_200}
            client.write(record=record, write_precision="s")
        rows = [
            {"room": "Attic", "temp": 3, "time": "2022-01-01T20:00:00"},
            {"room": "Kitchen", "temp": 72, "time": "1970-01-01T00:00:00.000000001"},
            {"room": "Living Room", "temp": 21, "time": "2022-01-01T08:00:00"},
        ]
        self.assertStored("py3", "SELECT room, temp, time FROM home ORDER BY room", rows)

    def test_batches_with_callbacks(self):
        told = []
        options = write_client_options(
            success_callback=lambda conf, data: told.append("success"),
            error_callback=lambda conf, data, exception: told.append(exception),
            retry_callback=lambda conf, data, exception: told.append(exception),
            write_options=WriteOptions(batch_size=100, flush_interval=10_000, jitter_interval=0),
        )
        with connect("py3-batches", write_client_options=options) as client:
            client.write([Point("m").field("n", n).time(n + 1) for n in range(250)])
        self.assertEqual(told, ["success"] * 3)
        self.assertStored("py3-batches", "SELECT count(*) AS n FROM m", [{"n": 250}])

    def test_gzip(self):
        with connect("py3-gzip", enable_gzip=True, gzip_threshold=0) as client:
            client.write([f"m n={n}i {n + 1}" for n in range(500)])
        self.assertStored("py3-gzip", "SELECT count(*) AS n FROM m", [{"n": 500}])

    def test_dataframes(self):
        times = pandas.to_datetime(["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"])
        frame = pandas.DataFrame({"room": ["a", "b"], "temp": [1.5, None], "n": [1, 2], "time": times})
        with connect("py3-frames") as client:
            client.write_dataframe(frame, measurement="home", timestamp_column="time", tags=["room"])
        rows = [
            {"n": 1, "room": "a", "temp": 1.5, "time": "2024-01-01T00:00:00"},
            {"n": 2, "room": "b", "time": "2024-01-01T00:00:01"},
        ]
        self.assertStored("py3-frames", "SELECT * FROM home ORDER BY room", rows)

    def test_refused_lines_are_told_one_by_one(self):
        with connect("py3-partial", write_client_options=synchronous(use_v2_api=False)) as client:
            client.write("m v=1i 1")
            with self.assertRaises(InfluxDBPartialWriteError) as caught:
                client.write(["m v=2i 2", 'm v="text" 3', "m v=3i 4"])
            [line] = caught.exception.line_errors
            self.assertEqual((line.line_number, line.original_line), (2, 'm v="text" 3'))
            self.assertIn("invalid column type for column 'v'", line.error_message)
        self.assertStored("py3-partial", "SELECT count(*) AS n FROM m", [{"n": 3}])

    def test_all_or_nothing(self):
        options = synchronous(use_v2_api=False, accept_partial=False)
        with connect("py3-whole", write_client_options=options) as client:
            client.write("m v=1i 1")
            with self.assertRaises(InfluxDBError) as caught:
                client.write(["m v=2i 2", 'm v="text" 3'])
            self.assertIn("parsing failed for write_lp endpoint", str(caught.exception))
        self.assertStored("py3-whole", "SELECT count(*) AS n FROM m", [{"n": 1}])

    def test_the_version_of_the_server(self):
        with connect("py3") as client:
            self.assertRegex(client.get_server_version(), r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
