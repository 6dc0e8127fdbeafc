"""The client library of InfluxDB 3, `influxdb3-python`: `write_file`.

| of the library | tests |
|---|---|
| CSV, JSON, Feather, ORC, Parquet; other extensions | `Formats` |
| names of tables, tag and time columns, `database`, `file_parser_options`, `write_precision` | `Arguments` |
| batches, callbacks, refused rows | `Batches` |
"""

import pathlib
import tempfile
import unittest

import pandas
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
from influxdb_client_3 import (
    InfluxDBClient3,
    InfluxDBError,
    WriteOptions,
    file_parser_options,
    write_client_options,
)
from server import TOKEN, URL, TestCase, has_table

ROOMS = pyarrow.table(
    {
        "room": ["Kitchen", "Living Room", "Kitchen"],
        "temp": [21.0, 21.5, None],
        "co": pyarrow.array([0, 7, 9]),
        "time": pyarrow.array([1_641_024_000 + n for n in range(3)])
        .cast(pyarrow.timestamp("s"))
        .cast(pyarrow.timestamp("ns")),
    }
)
QUERY = "SELECT * FROM home ORDER BY time"
ROWS = [
    {"co": 0, "room": "Kitchen", "temp": 21.0, "time": "2022-01-01T08:00:00"},
    {"co": 7, "room": "Living Room", "temp": 21.5, "time": "2022-01-01T08:00:01"},
    {"co": 9, "room": "Kitchen", "time": "2022-01-01T08:00:02"},
]
WRITERS = {
    "csv": pyarrow.csv.write_csv,
    "json": lambda table, path: table.to_pandas().to_json(path, orient="records", date_unit="ns"),
    "feather": pyarrow.feather.write_feather,
    "orc": pyarrow.orc.write_table,
    "parquet": pyarrow.parquet.write_table,
}


class FileTest(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def connect(self, database, **options):
        return InfluxDBClient3(host=URL, token=TOKEN, database=database, **options)

    def file(self, table, extension):
        path = str(self.folder / f"rows.{extension}")
        WRITERS[extension](table, path)
        return path

    def named(self, *names):
        """The rows with a column that names their tables."""
        names = pyarrow.array(names or ["home", "home", "hall"])
        return ROOMS.append_column("measurement", names)


class Formats(FileTest):
    def test_each_format(self):
        for extension in WRITERS:
            with self.subTest(extension), self.connect(f"files-{extension}") as client:
                client.write_file(self.file(ROOMS, extension), measurement_name="home", tag_columns=["room"])
                self.assertStored(f"files-{extension}", QUERY, ROWS)

    def test_many_rows(self):
        count = 10_000
        table = pyarrow.table({"v": range(count), "time": pyarrow.array(range(count), pyarrow.timestamp("ns"))})
        for extension in ["csv", "parquet"]:
            with self.subTest(extension), self.connect("files-many") as client:
                client.write_file(self.file(table, extension), measurement_name=extension)
                self.assertStored("files-many", f"SELECT count(*) AS n FROM {extension}", [{"n": count}])

    def test_other_extensions_are_refused(self):
        path = self.folder / "rows.txt"
        path.write_text("m v=1")
        with self.connect("files-other") as client, self.assertRaises(ValueError):
            client.write_file(str(path), measurement_name="m")


class Arguments(FileTest):
    def test_a_column_with_the_names_of_tables(self):
        for name in ["measurement", "iox::measurement"]:
            database = f"files-{name.replace('::', '-')}"
            table = self.named().rename_columns([*ROOMS.column_names, name])
            with self.subTest(name), self.connect(database) as client:
                client.write_file(self.file(table, "parquet"), tag_columns=["room"])
                self.assertStored(database, QUERY, ROWS[:2])
                self.assertStored(database, "SELECT * FROM hall", ROWS[2:])

    def test_a_name_wins_over_the_column(self):
        with self.connect("files-name") as client:
            client.write_file(self.file(self.named(), "feather"), measurement_name="home", tag_columns=["room"])
        self.assertStored("files-name", QUERY, ROWS)

    def test_another_time_column_and_database(self):
        table = ROOMS.rename_columns(["room", "temp", "co", "when"])
        with self.connect("files-default") as client:
            client.write_file(
                self.file(table, "csv"),
                measurement_name="home",
                tag_columns=["room"],
                timestamp_column="when",
                database="files-database",
            )
        self.assertStored("files-database", QUERY, ROWS)
        self.assertFalse(has_table("files-default", "home"))

    def test_options_of_the_parser(self):
        path = self.folder / "rows.csv"
        path.write_text("a;1;1641024000\nb;2;1641024001\n")
        options = file_parser_options(
            read_options=pyarrow.csv.ReadOptions(column_names=["t", "v", "time"]),
            parse_options=pyarrow.csv.ParseOptions(delimiter=";"),
        )
        with self.connect("files-options") as client:
            client.write_file(
                str(path),
                measurement_name="m",
                tag_columns=["t"],
                file_parser_options=options,
                write_precision="s",
            )
        query = "SELECT t, v FROM m ORDER BY v"
        self.assertStored("files-options", query, [{"t": "a", "v": 1}, {"t": "b", "v": 2}])

    def test_options_of_the_json_parser(self):
        path = self.folder / "rows.json"
        path.write_text('{"t":"a","v":1,"time":1641024000}\n')
        options = file_parser_options(lines=True, convert_dates=["time"], date_unit="s")
        with self.connect("files-json-lines") as client:
            client.write_file(str(path), measurement_name="m", tag_columns=["t"], file_parser_options=options)
        self.assertStored("files-json-lines", "SELECT * FROM m", [{"t": "a", "time": "2022-01-01T08:00:00", "v": 1}])


class Batches(FileTest):
    def write(self, database, table):
        """Writes a file in batches, and returns what the callbacks received."""
        called = []
        options = write_client_options(
            success_callback=lambda settings, data: called.append((settings, len(data.splitlines()))),
            error_callback=lambda settings, data, exception: called.append(exception),
            write_options=WriteOptions(batch_size=100, flush_interval=60_000, jitter_interval=0),
        )
        with self.connect(database, write_client_options=options) as client:
            client.write_file(self.file(table, "parquet"), measurement_name="m", tag_columns=["t"])
        return called

    def test_batches_arrive_in_full(self):
        times = pandas.date_range("2024-01-01", periods=1_050, freq="s")
        table = pyarrow.Table.from_pandas(
            pandas.DataFrame({"t": [f"t{n % 3}" for n in range(1_050)], "v": range(1_050), "time": times})
        )
        called = self.write("files-batches", table)
        self.assertEqual(sum(count for _, count in called), 1_050)
        self.assertEqual({settings for settings, _ in called}, {("files-batches", "default", "ns")})
        self.assertStored("files-batches", "SELECT count(*) AS n FROM m", [{"n": 1_050}])

    def test_a_refused_file_is_reported(self):
        times = pyarrow.array([1, 2], pyarrow.timestamp("ns"))
        self.write("files-refused", pyarrow.table({"t": ["a", "b"], "v": [1, 2], "time": times}))
        called = self.write("files-refused", pyarrow.table({"t": ["a", "b"], "v": ["x", "y"], "time": times}))
        self.assertTrue(called)
        self.assertTrue(all(isinstance(error, InfluxDBError) for error in called), called)


if __name__ == "__main__":
    unittest.main()
