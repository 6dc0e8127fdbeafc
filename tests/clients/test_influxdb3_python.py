"""The client library of InfluxDB 3, `influxdb3-python`: writes without batches.

| of the library | tests |
|---|---|
| `write` of lines, bytes, points, dictionaries, named tuples, data classes, and lists of them | `Records` |
| `Point`: every method, every type; `Point.from_dict` with its keys and `field_types` | `Points` |
| `write_dataframe` with pandas and polars, time zones, types, chunks | `Frames` |
| `write_precision` of a client, a call and a point | `Precisions` |
| `PointSettings`, `tag_order`, `no_sync`, `use_v2_api`, `enable_gzip`, `gzip_threshold`, `org` | `Options` |
| `ASYNCHRONOUS`, `write_timeout`, `timeout`, `_request_timeout`, `debug` | `Calls` |
| `accept_partial`, `InfluxDBError`, `InfluxDBPartialWriteError`, `InfluxDBPartialWriteLineError` | `Errors` |

Batches are in `test_influxdb3_python_batches`, files in `test_influxdb3_python_files`, queries in
`test_influxdb3_python_queries`.
"""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import io
import os
import unittest
import warnings
from unittest import mock

import numpy
import pandas
import polars
from influxdb_client_3 import (
    ASYNCHRONOUS,
    SYNCHRONOUS,
    InfluxDBClient3,
    InfluxDBError,
    Point,
    PointSettings,
    WriteOptions,
    WritePrecision,
    write_client_options,
)
from influxdb_client_3.exceptions import (
    InfluxDBPartialWriteError,
    InfluxDBPartialWriteLineError,
)
from server import TOKEN, URL, TestCase, create_token, has_table, sql

UTC = datetime.timezone.utc


def connect(database, **options):
    return InfluxDBClient3(**{"host": URL, "token": TOKEN, "database": database, **options})


def synchronous(**options):
    return write_client_options(write_options=WriteOptions(write_type=SYNCHRONOUS.write_type, **options))


class Records(TestCase):
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

    def test_each_kind_of_record_alone_and_in_lists(self):
        row = collections.namedtuple("Row", ["measurement", "tags", "fields", "time"])

        @dataclasses.dataclass
        class Reading:
            measurement: str
            tags: dict
            fields: dict
            time: int

        records = [
            "m,kind=line v=1i 1",
            b"m,kind=bytes v=2i 2",
            Point("m").tag("kind", "point").field("v", 3).time(3),
            {"measurement": "m", "tags": {"kind": "dictionary"}, "fields": {"v": 4}, "time": 4},
            row("m", {"kind": "tuple"}, {"v": 5}, 5),
            Reading("m", {"kind": "class"}, {"v": 6}, 6),
        ]
        kinds = ["line", "bytes", "point", "dictionary", "tuple", "class"]
        rows = [{"kind": kind, "v": number} for number, kind in enumerate(kinds, 1)]
        with connect("py3-alone") as client:
            for record in records:
                client.write(record)
        with connect("py3-together") as client:
            client.write(records)
        with connect("py3-lists") as client:
            for record in records:
                client.write([record])
        for database in ["py3-alone", "py3-together", "py3-lists"]:
            self.assertStored(database, "SELECT kind, v FROM m ORDER BY v", rows)

    def test_generators(self):
        with connect("py3-generator") as client:
            client.write(f"m v={number}i {number}" for number in range(10))
        self.assertStored("py3-generator", "SELECT count(*) AS n FROM m", [{"n": 10}])

    def test_another_database(self):
        with connect("py3-default") as client:
            client.write("m v=1i 1", database="py3-other")
        self.assertStored("py3-other", "SELECT v FROM m", [{"v": 1}])
        self.assertFalse(has_table("py3-default", "m"))

    def test_the_version_of_the_server(self):
        with connect("py3") as client:
            self.assertRegex(client.get_server_version(), r"^\d+\.\d+\.\d+$")


class Points(TestCase):
    def test_every_type_of_value(self):
        point = (
            Point.measurement("my home, big")
            .tag("a tag", "a=b, c")
            .tag("empty", "")
            .tag("none", None)
            .field("integer", 7)
            .field("float", 21.5)
            .field("whole", 3.0)
            .field("boolean", True)
            .field("text", 'say "hi" \\ bye')
            .field("decimal", decimal.Decimal("1.25"))
            .field("numpy_integer", numpy.int32(-5))
            .field("numpy_float", numpy.float32(0.5))
            .field("none", None)
            .field("nan", float("nan"))
            .time(datetime.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
        )
        with connect("py3-types") as client:
            client.write(point)
        row = {
            "a tag": "a=b, c",
            "boolean": True,
            "decimal": 1.25,
            "float": 21.5,
            "integer": 7,
            "numpy_float": 0.5,
            "numpy_integer": -5,
            "text": 'say "hi" \\ bye',
            "time": "2024-01-02T03:04:05.678901",
            "whole": 3.0,
        }
        self.assertStored("py3-types", 'SELECT * FROM "my home, big"', [row])

    def test_every_form_of_time(self):
        forms = [
            1_704_164_645_000_000_000,
            "2024-01-02T03:04:05Z",
            "2024-01-02T04:04:05+01:00",
            datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
            datetime.datetime(2024, 1, 2, 3, 4, 5),
            datetime.timedelta(seconds=1_704_164_645),
        ]
        with connect("py3-times") as client:
            client.write([Point("m").tag("form", str(n)).field("v", 1).time(time) for n, time in enumerate(forms)])
        self.assertStored("py3-times", "SELECT DISTINCT time FROM m", [{"time": "2024-01-02T03:04:05"}])
        self.assertStored("py3-times", "SELECT count(*) AS n FROM m", [{"n": len(forms)}])

    def test_a_point_without_time(self):
        with connect("py3-now") as client:
            client.write(Point("m").field("v", 1))
        rows = sql("py3-now", "SELECT count(*) AS n FROM m WHERE time > now() - INTERVAL '10 minutes'")
        self.assertEqual(rows, [{"n": 1}])

    def test_dictionaries_with_other_keys(self):
        record = {"name": "pump", "place": "hall", "version": "2.1", "pressure": 125, "volume": 3, "created": 5}
        with connect("py3-keys") as client:
            client.write(
                record,
                record_measurement_key="name",
                record_time_key="created",
                record_tag_keys=["place", "version"],
                record_field_keys=["pressure", "volume"],
            )
            client.write(
                {**record, "created": 6},
                record_measurement_name="engine",
                record_time_key="created",
                record_tag_keys=["place"],
                record_field_keys=["pressure"],
            )
        row = {"place": "hall", "pressure": 125, "time": "1970-01-01T00:00:00.000000005", "version": "2.1", "volume": 3}
        self.assertStored("py3-keys", "SELECT * FROM pump", [row])
        self.assertStored("py3-keys", "SELECT place, pressure FROM engine", [{"place": "hall", "pressure": 125}])

    def test_types_of_integer_fields(self):
        fields = {"i": 1, "u": 2**64 - 1, "f": 3}
        types = {"i": "int", "u": "uint", "f": "float"}
        with connect("py3-integers") as client:
            client.write({"measurement": "m", "fields": fields, "time": 1, "field_types": types})
        query = "SELECT arrow_typeof(i) AS i, arrow_typeof(u) AS u, arrow_typeof(f) AS f, u AS value FROM m"
        row = {"f": "Float64", "i": "Int64", "u": "UInt64", "value": 2**64 - 1}
        self.assertStored("py3-integers", query, [row])


class Frames(TestCase):
    TIMES = ["2024-01-01T00:00:00", "2024-01-01T00:00:01"]
    ROWS = [
        {"n": 1, "ok": True, "room": "a b", "temp": 1.5, "time": "2024-01-01T00:00:00"},
        {"n": 2, "ok": False, "room": "b", "time": "2024-01-01T00:00:01"},
    ]

    def test_pandas(self):
        times = pandas.to_datetime(self.TIMES, utc=True)
        columns = {"room": ["a b", "b"], "temp": [1.5, None], "n": [1, 2], "ok": [True, False], "time": times}
        with connect("py3-frames") as client:
            client.write_dataframe(
                pandas.DataFrame(columns), measurement="home", timestamp_column="time", tags=["room"]
            )
        self.assertStored("py3-frames", "SELECT * FROM home ORDER BY room", self.ROWS)

    def test_polars(self):
        times = [datetime.datetime.fromisoformat(time) for time in self.TIMES]
        columns = {"room": ["a b", "b"], "temp": [1.5, None], "n": [1, 2], "ok": [True, False], "time": times}
        with connect("py3-polars") as client:
            client.write_dataframe(
                polars.DataFrame(columns), measurement="home", timestamp_column="time", tags=["room"]
            )
        self.assertStored("py3-polars", "SELECT * FROM home ORDER BY room", self.ROWS)

    def test_a_time_zone(self):
        frame = pandas.DataFrame({"v": [1], "time": pandas.to_datetime(["2024-07-01T02:00:00"])})
        with connect("py3-zones") as client:
            client.write_dataframe(frame, measurement="m", timestamp_column="time", timestamp_timezone="Europe/Berlin")
        self.assertStored("py3-zones", "SELECT time FROM m", [{"time": "2024-07-01T00:00:00"}])

    def test_the_arguments_of_write(self):
        times = pandas.to_datetime(self.TIMES, utc=True)
        frame = pandas.DataFrame({"room": ["a b", "b"], "n": [1, 2]}, index=times)
        with connect("py3-index") as client:
            client.write(frame, data_frame_measurement_name="home", data_frame_tag_columns=["room"])
        rows = [{key: row[key] for key in ["n", "room", "time"]} for row in self.ROWS]
        self.assertStored("py3-index", "SELECT * FROM home ORDER BY room", rows)

    def test_another_database_and_precision(self):
        times = pandas.to_datetime(self.TIMES, utc=True)
        frame = pandas.DataFrame({"n": [1, 2], "time": times})
        with connect("py3-frames") as client:
            client.write_dataframe(
                frame, measurement="m", timestamp_column="time", database="py3-frames-s", write_precision="s"
            )
        rows = [{"time": time} for time in self.TIMES]
        self.assertStored("py3-frames-s", "SELECT time FROM m ORDER BY time", rows)

    def test_many_rows(self):
        count = 20_000
        times = pandas.date_range("2024-01-01", periods=count, freq="s")
        frame = pandas.DataFrame({"t": [f"t{n % 7}" for n in range(count)], "v": range(count), "time": times})
        with connect("py3-many-rows", enable_gzip=True) as client:
            client.write_dataframe(frame, measurement="m", timestamp_column="time", tags=["t"])
        self.assertStored("py3-many-rows", "SELECT count(*) AS n, sum(v) AS s FROM m", [{"n": count, "s": 199_990_000}])

    def test_other_objects_are_refused(self):
        with connect("py3-frames") as client, self.assertRaises(TypeError):
            client.write_dataframe([1], measurement="m", timestamp_column="time")


class Precisions(TestCase):
    VALUES = [
        (WritePrecision.S, 1_704_164_645),
        (WritePrecision.MS, 1_704_164_645_000),
        (WritePrecision.US, 1_704_164_645_000_000),
        (WritePrecision.NS, 1_704_164_645_000_000_000),
    ]

    def check(self, database):
        self.assertStored(database, "SELECT DISTINCT time FROM m", [{"time": "2024-01-02T03:04:05"}])
        self.assertStored(database, "SELECT count(*) AS n FROM m", [{"n": 4}])

    def test_of_a_call(self):
        for use_v2_api in [True, False]:
            database = f"py3-call-{use_v2_api}"
            with connect(database) as client:
                for precision, time in self.VALUES:
                    line = f"m,precision={precision} v=1i {time}"
                    client.write(line, write_precision=precision, use_v2_api=use_v2_api)
            self.check(database)

    def test_of_a_client(self):
        for precision, time in self.VALUES:
            options = synchronous(write_precision=precision)
            with connect("py3-client", write_client_options=options) as client:
                client.write(f"m,precision={precision} v=1i {time}")
        self.check("py3-client")

    def test_of_a_point(self):
        points = [Point("m").tag("precision", name).field("v", 1).time(time, name) for name, time in self.VALUES]
        with connect("py3-point") as client:
            client.write(points)
        self.check("py3-point")


class Options(TestCase):
    def test_default_tags(self):
        with mock.patch.dict(os.environ, {"NEAP_TEST_PLACE": "hall"}):
            settings = PointSettings(place="${env.NEAP_TEST_PLACE}", id="132-987-655")
        settings.add_default_tag("customer", "California Miner")
        frame = pandas.DataFrame({"v": [3], "time": [3]})
        with connect("py3-tags", point_settings=settings) as client:
            client.write(Point("m").field("v", 1).time(1))
            client.write({"measurement": "m", "fields": {"v": 2}, "time": 2})
            client.write(frame, data_frame_measurement_name="m", data_frame_timestamp_column="time")
            client.write("m v=4i 4")
        tags = {"customer": "California Miner", "id": "132-987-655", "place": "hall"}
        rows = [{**tags, "v": 1}, {**tags, "v": 2}, {**tags, "v": 3}, {"v": 4}]
        self.assertStored("py3-tags", "SELECT customer, id, place, v FROM m ORDER BY v", rows)

    def test_the_order_of_tags(self):
        options = synchronous(tag_order=["region", "host"])
        with connect("py3-order", write_client_options=options) as client:
            client.write(Point("m").tag("host", "h").tag("a", "x").tag("region", "r").field("v", 1).time(1))
            client.write(Point("m").tag("a", "y").tag("host", "h").field("v", 2).time(2), tag_order=["host"])
        rows = [{"a": "x", "host": "h", "region": "r", "v": 1}, {"a": "y", "host": "h", "v": 2}]
        self.assertStored("py3-order", "SELECT a, host, region, v FROM m ORDER BY v", rows)

    def test_gzip(self):
        lines = [f"m n={n}i {n + 1}" for n in range(500)]
        for threshold in [0, 1_000, 1_000_000, None]:
            database = f"py3-gzip-{threshold}"
            with connect(database, enable_gzip=True, gzip_threshold=threshold) as client:
                client.write(lines)
            self.assertStored(database, "SELECT count(*) AS n FROM m", [{"n": 500}])

    def test_without_waiting_for_the_store(self):
        with connect("py3-no-sync", write_use_v2_api=False) as client:
            client.write("m v=1i 1", no_sync=True)
        with connect("py3-no-sync", write_no_sync=True, write_use_v2_api=False) as client:
            client.write("m v=2i 2")
        self.assertStoredSoon("py3-no-sync", "SELECT count(*) AS n FROM m", [{"n": 2}])

    def test_both_paths(self):
        for use_v2_api in [True, False]:
            with connect("py3-paths", write_use_v2_api=use_v2_api, org="any") as client:
                client.write(f"m,v2={use_v2_api} v=1i 1")
        self.assertStored("py3-paths", "SELECT v2 FROM m ORDER BY v2", [{"v2": "False"}, {"v2": "True"}])


class Calls(TestCase):
    def test_asynchronous_writes(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = connect("py3-async", write_client_options=write_client_options(write_options=ASYNCHRONOUS))
        with client:
            pending = [client.write(f"m v={n}i {n}") for n in range(20)]
            for write in pending:
                write.get(60)
            refused = client.write("m v= 1", use_v2_api=False)
            with self.assertRaises(InfluxDBError):
                refused.get(60)
        self.assertStored("py3-async", "SELECT count(*) AS n FROM m", [{"n": 20}])

    def test_timeouts(self):
        with connect("py3-timeouts", write_timeout=60_000) as client:
            client.write("m v=1i 1")
            client.write("m v=2i 2", _request_timeout=60_000)
            client.write("m v=3i 3", _request_timeout=(60_000, 60_000))
        with connect("py3-timeouts", write_client_options=synchronous(timeout=60_000)) as client:
            client.write("m v=4i 4")
        self.assertStored("py3-timeouts", "SELECT count(*) AS n FROM m", [{"n": 4}])

    def test_debugging_shows_no_token(self):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), connect("py3-debug", debug=True) as client:
            client.write("m v=1i 1")
        self.assertNotIn(TOKEN, shown.getvalue())
        self.assertStored("py3-debug", "SELECT v FROM m", [{"v": 1}])


class Errors(TestCase):
    def test_refused_lines_are_named(self):
        with connect("py3-partial", write_client_options=synchronous(use_v2_api=False)) as client:
            client.write("m v=1i 1")
            with self.assertRaises(InfluxDBPartialWriteError) as caught:
                client.write(["m v=2i 2", 'm v="text" 3', "m v=3i 4"])
            [line] = caught.exception.line_errors
            self.assertIsInstance(line, InfluxDBPartialWriteLineError)
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
        with connect("py3-whole", write_accept_partial=False, write_use_v2_api=False) as client:
            with self.assertRaises(InfluxDBError):
                client.write(["m v=2i 2", 'm v="text" 3'])
        self.assertStored("py3-whole", "SELECT count(*) AS n FROM m", [{"n": 1}])

    def test_the_path_of_influxdb_2(self):
        with connect("py3-errors-2", write_use_v2_api=True) as client, self.assertRaises(InfluxDBError) as caught:
            client.write("m v= 1")
        self.assertEqual(caught.exception.response.status, 400)
        self.assertIn("invalid", caught.exception.message)
        self.assertIsNotNone(caught.exception.getheaders())

    def test_tokens(self):
        with connect("py3-token", token="apiv3_wrong") as client, self.assertRaises(InfluxDBError) as caught:
            client.write("m v=1i 1")
        self.assertEqual(caught.exception.response.status, 401)
        reader = create_token("py3-no-writer", ("py3-token", "read"))
        with connect("py3-token", token=reader) as client, self.assertRaises(InfluxDBError) as caught:
            client.write("m v=1i 1")
        self.assertEqual(caught.exception.response.status, 403)

    def test_servers_that_are_not_there(self):
        with connect("py3", host="http://127.0.0.1:1") as client, self.assertRaises(Exception):
            client.write("m v=1i 1")

    def test_options_that_contradict_each_other(self):
        with self.assertRaises(ValueError), connect("py3", write_no_sync=True, write_use_v2_api=True) as client:
            client.write("m v=1i 1")


if __name__ == "__main__":
    unittest.main()
