"""Writes with `DoPut` of `pyarrow.flight`: descriptors, answers, batches, metadata, compression, and refusals.

Types of values are in `test_flight_types`.
"""

import json
import re
import subprocess
import sys
import unittest

import pyarrow
from flight_connection import COLUMN_TYPE, Connection
from pyarrow import flight, ipc
from server import DEFAULT_DATABASE, TestCase, create_token, has_table, sql, write_lines

HOME = pyarrow.table(
    {
        "room": pyarrow.array(["Kitchen", "Attic", "Kitchen"]).dictionary_encode(),
        "temp": pyarrow.array([21.5, None, 22.0]),
        "co": pyarrow.array([None, 7, 8], pyarrow.int64()),
        "time": pyarrow.array([1, 2, 3], pyarrow.timestamp("s")),
    }
)
STORED = [
    {"room": "Kitchen", "temp": 21.5, "time": "1970-01-01T00:00:01"},
    {"co": 7, "room": "Attic", "time": "1970-01-01T00:00:02"},
    {"co": 8, "room": "Kitchen", "temp": 22.0, "time": "1970-01-01T00:00:03"},
]
QUERY = "SELECT * FROM home ORDER BY time"


def path(*names):
    return flight.FlightDescriptor.for_path(*names)


def numbers(count, start=0):
    """Rows whose time and value are numbers from `start`."""
    values = pyarrow.array(range(start, start + count))
    return pyarrow.table({"v": values, "time": values.cast(pyarrow.timestamp("ns"))})


class PutTest(TestCase):
    def setUp(self):
        self.connection = Connection()
        self.addCleanup(self.connection.client.close)

    def put(self, database, table, rows, headers=None, **options):
        return self.connection.put(path(table), rows, {"database": database, **(headers or {})}, **options)


class Descriptors(PutTest):
    def test_a_table_with_the_database_in_the_metadata(self):
        self.put("put-table", "home", HOME)
        self.assertStored("put-table", QUERY, STORED)

    def test_a_database_and_a_table(self):
        self.connection.put(path("put-both", "home"), HOME)
        self.assertStored("put-both", QUERY, STORED)

    def test_the_database_of_the_path_wins(self):
        self.connection.put(path("put-path", "home"), HOME, {"database": "put-metadata"})
        self.assertStored("put-path", QUERY, STORED)
        self.assertFalse(has_table("put-metadata", "home"))

    def test_descriptors_without_a_table(self):
        for descriptor in [path(), path(""), path("a", "b", "c", "d"), flight.FlightDescriptor.for_command(b"home")]:
            with self.subTest(descriptor), self.assertRaises((pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError)):
                self.connection.put(descriptor, HOME, {"database": "put-none"})

    def test_a_request_without_a_database(self):
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.connection.put(path("home"), HOME)
        self.assertFalse(has_table(DEFAULT_DATABASE, "home"))


class Rows(PutTest):
    def test_the_answer_has_the_rows_and_the_stamp(self):
        write_lines("put-stamps", "home v=1i 1")
        [answer] = map(json.loads, self.put("put-stamps", "numbers", numbers(3)))
        self.assertEqual(answer["rows"], 3)
        headers = {"x-neap-stamp": answer["stamp"], "x-neap-max-staleness": "1h"}
        rows = self.connection.query("put-stamps", "SELECT count(*) AS n FROM numbers", headers=headers)
        self.assertEqual(rows.to_pylist(), [{"n": 3}])

    def test_large_uploads_are_stored_in_parts(self):
        texts = pyarrow.array(["x" * 500_000] * 60)
        rows = numbers(60).append_column("s", texts)
        answers = [json.loads(answer) for answer in self.put("put-parts", "m", rows, batch_rows=2)]
        self.assertGreater(len(answers), 1)
        self.assertEqual(sum(answer["rows"] for answer in answers), 60)
        stamps = [int(answer["stamp"]) for answer in answers]
        self.assertEqual(stamps, sorted(stamps))
        self.assertStored("put-parts", "SELECT count(*) AS n, sum(length(s)) AS s FROM m", [{"n": 60, "s": 30_000_000}])

    def test_many_batches(self):
        writer, reader = self.connection.client.do_put(
            path("numbers"), numbers(1).schema, self.connection.call_options({"database": "put-batches"})
        )
        with writer:
            for start in range(0, 20_000, 1_000):
                writer.write_table(numbers(1_000, start))
            writer.done_writing()
            while reader.read() is not None:
                pass
        self.assertStored(
            "put-batches", "SELECT count(*) AS n, sum(v) AS s FROM numbers", [{"n": 20_000, "s": 199_990_000}]
        )

    def test_dictionaries_that_change_between_batches(self):
        batches = []
        for start in range(0, 30, 10):
            tags = pyarrow.array([f"t{number}" for number in range(start, start + 10)]).dictionary_encode()
            times = pyarrow.array(range(start, start + 10), pyarrow.timestamp("ns"))
            batches.append(
                pyarrow.record_batch({"t": tags, "v": pyarrow.array(range(start, start + 10)), "time": times})
            )
        self.put("put-dictionaries", "m", pyarrow.Table.from_batches(batches))
        rows = sql("put-dictionaries", "SELECT t, v FROM m ORDER BY v")
        self.assertEqual(rows, [{"t": f"t{number}", "v": number} for number in range(30)])

    def test_no_rows(self):
        self.put("put-no-rows", "numbers", numbers(0))
        self.assertFalse(has_table("put-no-rows", "numbers"))

    def test_a_stream_without_batches(self):
        options = self.connection.call_options({"database": "put-no-batches"})
        writer, reader = self.connection.client.do_put(path("numbers"), numbers(0).schema, options)
        with writer:
            writer.done_writing()
            while reader.read() is not None:
                pass
        self.assertFalse(has_table("put-no-batches", "numbers"))

    def test_compressed_batches(self):
        for codec in ["lz4", "zstd"]:
            with self.subTest(codec):
                options = ipc.IpcWriteOptions(compression=codec)
                self.put("put-compressed", codec, numbers(5_000), write_options=options)
                self.assertStored("put-compressed", f"SELECT count(*) AS n FROM {codec}", [{"n": 5_000}])

    def test_later_rows_replace_earlier_ones(self):
        self.put("put-replace", "home", HOME)
        self.put("put-replace", "home", HOME.set_column(1, "temp", pyarrow.array([1.0, 2.0, 3.0])))
        rows = sql("put-replace", "SELECT temp FROM home ORDER BY time")
        self.assertEqual([row["temp"] for row in rows], [1.0, 2.0, 3.0])

    def test_rows_of_line_protocol_and_of_flight_are_one_table(self):
        write_lines("put-mixed", "home,room=Attic temp=20 2000000000", 'home,room=Attic note="x" 5000000000')
        self.put("put-mixed", "home", HOME)
        rows = sql("put-mixed", QUERY)
        self.assertEqual(rows[1], {"co": 7, "room": "Attic", "temp": 20.0, "time": "1970-01-01T00:00:02"})
        self.assertEqual(len(rows), 4)

    def test_tags_that_the_metadata_name(self):
        rows = pyarrow.table({"a": ["x"], "b": [7], "c": ["text"], "v": [1]})
        self.put("put-tags", "m", rows, {"x-neap-tags": "a,b"})
        schema = self.connection.query("put-tags", "SELECT * FROM m").schema
        kinds = {field.name: field.metadata[COLUMN_TYPE].decode().split("::")[2] for field in schema}
        self.assertEqual(kinds, {"a": "tag", "b": "tag", "c": "field", "time": "timestamp", "v": "field"})
        self.assertStored("put-tags", "SELECT a, b, c FROM m", [{"a": "x", "b": "7", "c": "text"}])

    def test_a_time_column_that_the_metadata_name(self):
        rows = numbers(2).rename_columns(["v", "when"])
        self.put("put-when", "m", rows, {"x-neap-time-column": "when"})
        times = ["1970-01-01T00:00:00", "1970-01-01T00:00:00.000000001"]
        self.assertStored("put-when", "SELECT * FROM m ORDER BY v", [{"time": t, "v": v} for v, t in enumerate(times)])

    def test_strict_order(self):
        self.put("put-strict", "numbers", numbers(1), {"x-neap-order": "strict"})
        self.assertStored("put-strict", "SELECT v FROM numbers", [{"v": 0}])

    def test_names_that_need_quotes(self):
        rows = numbers(1).append_column("a b,c=d", pyarrow.array(["ü"])).append_column("Größe", pyarrow.array([1.5]))
        self.put("put-names", "Mein Tisch, groß", rows)
        query = 'SELECT "a b,c=d", "Größe" FROM "Mein Tisch, groß"'
        self.assertStored("put-names", query, [{"Größe": 1.5, "a b,c=d": "ü"}])

    def test_as_many_rows_as_a_large_request_has(self):
        self.put("put-large", "numbers", numbers(300_000))
        self.assertStored("put-large", "SELECT count(*) AS n FROM numbers", [{"n": 300_000}])


class Refusals(PutTest):
    def test_credentials_and_permissions(self):
        reader = create_token("put-reader", ("put-access", "read"))
        other = create_token("put-other", ("put-elsewhere", "write"))
        for token, error in [
            (None, flight.FlightUnauthenticatedError),
            ("apiv3_wrong", flight.FlightUnauthenticatedError),
            (reader, flight.FlightUnauthorizedError),
            (other, flight.FlightUnauthorizedError),
        ]:
            with self.subTest(error), Connection(token=token) as connection, self.assertRaises(error):
                connection.put(path("home"), HOME, {"database": "put-access"})
        writer = create_token("put-writer", ("put-access", "write"))
        with Connection(token=writer) as connection:
            connection.put(path("home"), HOME, {"database": "put-access"})
        self.assertStored("put-access", QUERY, STORED)

    def test_names_that_no_database_or_table_has(self):
        for database, table in [("", "home"), ("_internal", "home"), ("a\nb", "home"), ("put-names-refused", "")]:
            with self.subTest(database, table=table), self.assertRaises(pyarrow.ArrowException):
                self.put(database, table, HOME)

    def test_a_message_that_is_too_large(self):
        rows = pyarrow.table({"v": pyarrow.array(["x" * 1_000_000] * 70)})
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.put("put-too-large", "m", rows)
        self.assertRegex(str(caught.exception), "large|smaller")
        self.assertFalse(has_table("put-too-large", "m"))

    def test_a_client_that_is_killed_writes_nothing(self):
        code = """
import sys, time
from test_flight_put import Connection, numbers, path
connection = Connection()
options = connection.call_options({"database": "put-killed"})
writer, reader = connection.client.do_put(path("numbers"), numbers(1).schema, options)
writer.write_table(numbers(1_000))
print("written", flush=True)
time.sleep(60)
"""
        client = subprocess.Popen([sys.executable, "-B", "-c", code], stdout=subprocess.PIPE)
        try:
            self.assertEqual(client.stdout.readline(), b"written\n")
        finally:
            client.kill()
            client.communicate()
        self.put("put-killed", "others", numbers(1))
        self.assertFalse(has_table("put-killed", "numbers"))

    def test_refused_rows_are_named(self):
        write_lines("put-refused", "m v=1i 0")
        rows = pyarrow.table(
            {"v": pyarrow.array([2.0, 2.5, 3.0]), "time": pyarrow.array([1, 2, 3], pyarrow.timestamp("ns"))}
        )
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.put("put-refused", "m", rows)
        self.assertRegex(str(caught.exception), r"(line|row) 2\b")
        self.assertIn("'v'", str(caught.exception))

    def test_rows_before_a_refused_row_of_a_large_upload_are_stored(self):
        count = 60
        values = pyarrow.array([1.0] * (count - 1) + [float("nan")])
        rows = numbers(count).append_column("f", values).append_column("s", pyarrow.array(["x" * 500_000] * count))
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.put("put-stored", "m", rows, batch_rows=2)
        self.assertRegex(str(caught.exception), rf"row {count}\b")
        [stored] = set(re.findall(r"(\d+) rows before are stored", str(caught.exception)))
        self.assertGreater(int(stored), 0)
        self.assertStored("put-stored", "SELECT count(*) AS n FROM m", [{"n": int(stored)}])

    def test_after_a_refusal_the_connection_still_works(self):
        with self.assertRaises(pyarrow.ArrowInvalid):
            self.put("put-again", "m", pyarrow.table({"v": pyarrow.array([b"x"])}))
        self.put("put-again", "home", HOME)
        self.assertStored("put-again", QUERY, STORED)


if __name__ == "__main__":
    unittest.main()
