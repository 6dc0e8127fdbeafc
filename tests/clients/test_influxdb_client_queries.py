"""The client library of InfluxDB 2, `influxdb-client`: queries in Flux."""

import unittest
from datetime import datetime, timedelta, timezone

from influxdb_client import Dialect, InfluxDBClient
from influxdb_client.rest import ApiException
from server import TOKEN, URL, TestCase, create_token, write_lines

ORG = "any"
BUCKET = "asking"

# 2024-01-01T08:00:00Z
EIGHT = datetime(2024, 1, 1, 8, tzinfo=timezone.utc)

RANGE = "range(start: 2024-01-01T08:00:00Z, stop: 2024-01-01T09:00:00Z)"
TEMPERATURES = f'from(bucket: "{BUCKET}") |> {RANGE} |> filter(fn: (r) => r._field == "temp")'


def setUpModule():
    seconds = int(EIGHT.timestamp())
    lines = []
    for minute in range(3):
        nanos = (seconds + 60 * minute) * 1_000_000_000
        lines.append(f'home,room=Kitchen temp={20 + minute}.5,open={minute == 1},note="a, b",n={minute}i {nanos}')
        lines.append(f"home,room=Bath temp={18 + minute} {nanos}")
    write_lines(BUCKET, *lines)


class Queries(TestCase):
    def setUp(self):
        self.client = InfluxDBClient(url=URL, token=TOKEN, org=ORG)
        self.addCleanup(self.client.close)
        self.api = self.client.query_api()

    def test_tables_have_records_and_group_keys(self):
        tables = self.api.query(TEMPERATURES)
        rooms = [[record["room"] for record in table.records] for table in tables]
        self.assertEqual(rooms, [["Bath"] * 3, ["Kitchen"] * 3])
        labels = [column.label for column in tables[0].get_group_key()]
        self.assertEqual(labels, ["_start", "_stop", "_field", "_measurement", "room"])
        (first, *_) = tables[1].records
        self.assertEqual((first.get_time(), first.get_value()), (EIGHT, 20.5))
        self.assertEqual((first.get_field(), first.get_measurement(), first["result"]), ("temp", "home", "_result"))
        self.assertEqual((first.get_start(), first.get_stop()), (EIGHT, EIGHT + timedelta(hours=1)))

    def test_values_have_their_types(self):
        query = f'from(bucket: "{BUCKET}") |> {RANGE} |> filter(fn: (r) => r.room == "Kitchen") |> last()'
        values = {record.get_field(): record.get_value() for table in self.api.query(query) for record in table}
        self.assertEqual(values, {"temp": 22.5, "open": False, "note": "a, b", "n": 2})
        self.assertIsInstance(values["n"], int)

    def test_parameters_are_values(self):
        query = f"""
            from(bucket: bucket) |> range(start: since, stop: before)
              |> filter(fn: (r) => r._field == "temp" and r.room == room and r._value > least)
              |> aggregateWindow(every: every, fn: max, createEmpty: false) |> limit(n: rows)
        """
        params = {
            "bucket": BUCKET,
            "since": EIGHT,
            "before": EIGHT + timedelta(hours=1),
            "room": "Kitchen",
            "least": 20.75,
            "every": timedelta(minutes=1),
            "rows": 1,
        }
        ((record,),) = self.api.query(query, params=params)
        self.assertEqual((record.get_time(), record.get_value()), (EIGHT + timedelta(minutes=2), 21.5))

    def test_streams_texts_and_frames(self):
        values = [record.get_value() for record in self.api.query_stream(TEMPERATURES)]
        self.assertEqual(values, [18, 19, 20, 20.5, 21.5, 22.5])
        plain = Dialect(header=False, delimiter=";", annotations=[])
        means = f'{TEMPERATURES} |> mean() |> keep(columns: ["room", "_value"])'
        rows = self.api.query_csv(means, dialect=plain).to_values()
        self.assertEqual([row[0].split(";")[2:] for row in rows], [["0", "19", "Bath"], ["1", "21.5", "Kitchen"]])
        raw = self.api.query_raw(means).data.decode()
        self.assertTrue(raw.endswith(",,1,21.5,Kitchen\r\n\r\n"), raw)
        pivot = f'{TEMPERATURES} |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        frame = self.api.query_data_frame(pivot)
        self.assertEqual(frame["temp"].tolist(), [18, 19, 20, 20.5, 21.5, 22.5])
        self.assertEqual(frame["_time"].tolist()[:3], [EIGHT + timedelta(minutes=minute) for minute in range(3)])

    def test_results_have_names(self):
        query = f"""
            data = {TEMPERATURES}
            data |> group() |> count() |> yield(name: "count")
            data |> group() |> min() |> yield(name: "min")
            data |> filter(fn: (r) => r._value > 100.0) |> yield(name: "none")
        """
        results = [(record["result"], record.get_value()) for table in self.api.query(query) for record in table]
        self.assertEqual(results, [("count", 6), ("min", 18)])

    def test_windows_without_rows_are_null(self):
        windows = f'{TEMPERATURES} |> filter(fn: (r) => r.room == "Bath") |> aggregateWindow(every: 20m, fn: sum)'
        values = [record.get_value() for record in self.api.query_stream(windows)]
        self.assertEqual(values, [57, None, None])

    def test_names_are_listed(self):
        def names(call):
            return [record.get_value() for record in self.api.query_stream(f'import "influxdata/influxdb/schema"\n{call}')]

        since = f'bucket: "{BUCKET}", start: 2024-01-01'
        self.assertEqual(names(f"schema.measurements({since})"), ["home"])
        self.assertEqual(names(f"schema.fieldKeys({since})"), ["n", "note", "open", "temp"])
        self.assertEqual(names(f'schema.tagValues({since}, tag: "room")'), ["Bath", "Kitchen"])
        buckets = {record["name"]: record["id"] for record in self.api.query_stream("buckets()")}
        self.assertEqual(buckets[BUCKET], self.client.buckets_api().find_bucket_by_name(BUCKET).id)

    def test_what_is_refused_is_named(self):
        derivative = f"{TEMPERATURES} |> derivative()"
        with self.assertRaises(ApiException) as caught:
            self.api.query(derivative)
        self.assertEqual(caught.exception.status, 400)
        at = derivative.index("derivative") + 1
        expected = f"error @1:{at}-1:{at + 10}: derivative() is not supported; in SQL: derivative(value, "
        self.assertTrue(caught.exception.message.startswith(expected), caught.exception.message)
        with self.assertRaises(ApiException) as caught:
            self.api.query('from(bucket: "nothing-here") |> range(start: 0)')
        self.assertEqual(caught.exception.status, 404)
        self.assertEqual(caught.exception.message, 'could not find bucket "nothing-here"')

    def test_tokens_read_their_buckets(self):
        token = create_token("flux-reader", (BUCKET, "read"))
        with InfluxDBClient(url=URL, token=token, org=ORG) as client:
            api = client.query_api()
            self.assertEqual([record["name"] for record in api.query_stream("buckets()")], [BUCKET])
            self.assertEqual(len(api.query(TEMPERATURES)), 2)
            with self.assertRaises(ApiException) as caught:
                api.query('from(bucket: "another") |> range(start: 0)')
            self.assertEqual(caught.exception.status, 403)


if __name__ == "__main__":
    unittest.main()
