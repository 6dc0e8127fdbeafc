"""Published Iceberg tables, read with PyIceberg and DuckDB and compared value by value with the answers of the server.

    NEAP_URL=... NEAP_TOKEN=... NEAP_BIN=target/debug/neap NEAP_STORE='["--data-dir", "data"]' \
        python -m unittest iceberg_tables

`NEAP_STORE` has the options of the server's store, and `NEAP_ICEBERG_PROPERTIES` the properties with which PyIceberg reads
the store. Without them, the store is a directory, and DuckDB reads it, too.
"""

import datetime
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import time
import unittest

import duckdb
from pyiceberg.io import load_file_io
from pyiceberg.table import StaticTable

import server

NEAP = os.environ["NEAP_BIN"]
STORE = json.loads(os.environ["NEAP_STORE"])
PROPERTIES = json.loads(os.environ.get("NEAP_ICEBERG_PROPERTIES", "{}"))
IS_DIRECTORY = not PROPERTIES

DAY = 86_400 * 10**9
START = 20_454 * DAY  # 2026-01-01
EPOCH = datetime.datetime(1970, 1, 1)
PUBLISHED = re.compile(r"^(.*): table '(.*)' is (published|unchanged) as (.*), number (\d+): .*$", re.MULTILINE)


def compact(*options):
    """Runs `neap compact` on the store of the server, and returns what it prints. It waits until all rows can be flushed."""
    done = subprocess.run([NEAP, "compact", *STORE, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def publish(database, *options, settle_after="0s"):
    """Publishes the tables of a database, and returns their locations by name."""
    text = compact("-d", database, "--publish", "iceberg", "--settle-after", settle_after, *options)
    return {table: location for _, table, _, location, _ in PUBLISHED.findall(text)}


def metadata_of(location):
    """Returns the URL of the current metadata of a table."""
    io = load_file_io(PROPERTIES, location)
    with io.new_input(f"{location}/metadata/version-hint.text").open() as hint:
        return f"{location}/metadata/v{hint.read().decode()}.metadata.json"


def open_table(metadata):
    return StaticTable.from_metadata(metadata, PROPERTIES)


def micros(instant):
    return (instant - EPOCH) // datetime.timedelta(microseconds=1)


def rows_of(columns, records):
    """Returns rows as sorted lists of text, because values may be absent."""
    found = []
    for record in records:
        values = dict(zip(columns, record))
        values["time"] = micros(values["time"])
        found.append([repr(values[name]) for name in sorted(values)])
    return sorted(found)


def read_with_pyiceberg(metadata, row_filter="true"):
    """Returns the names of the columns, and the rows."""
    scan = open_table(metadata).scan() if row_filter == "true" else open_table(metadata).scan(row_filter)
    # PyIceberg's `to_arrow` refuses tables of which some files lack a tag.
    table = scan.to_arrow_batch_reader().read_all()
    columns = table.column_names
    return sorted(columns), rows_of(columns, zip(*(table.column(name).to_pylist() for name in columns)))


def duckdb_with_iceberg():
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for extension in ("httpfs", "avro", "iceberg"):
        package = pathlib.Path(importlib.util.find_spec(f"duckdb_extension_{extension}").origin).parent
        file = package / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
        connection.execute(f"LOAD '{file}'")
    return connection


def read_with_duckdb(location):
    """Returns the names of the columns, and the rows, of the table that the version hint names."""
    answer = duckdb_with_iceberg().execute(f"SELECT * FROM iceberg_scan('{location}')")
    columns = [column[0] for column in answer.description]
    return sorted(columns), rows_of(columns, answer.fetchall())


def read(location):
    """Returns the names of the columns and the rows that all readers find in a published table."""
    found = read_with_pyiceberg(metadata_of(location))
    if IS_DIRECTORY:
        assert read_with_duckdb(location) == found
    return found


def answer(database, table, columns, where="true"):
    """Returns the rows of columns as the server answers them, with times in microseconds."""
    quoted = lambda name: '"' + name.replace('"', '""') + '"'
    others = [name for name in columns if name != "time"]
    selected = ", ".join([quoted(name) for name in others] + ['CAST("time" AS BIGINT) AS "time"'])
    found = server.sql(database, f"SELECT {selected} FROM {quoted(table)} WHERE {where}")
    rows = []
    for row in found:
        # Absent values are left out.
        values = {name: row.get(name) for name in columns}
        # The readers cut off digits towards 1970.
        values["time"] = abs(row["time"]) // 1_000 * (1 if row["time"] > 0 else -1)
        rows.append([repr(values[name]) for name in sorted(columns)])
    return sorted(rows)


def summary(location):
    return open_table(metadata_of(location)).current_snapshot().summary.additional_properties


class PublishedTables(unittest.TestCase):
    maxDiff = 4_000

    def assert_equal(self, database, table, location, where="true"):
        columns, rows = read(location)
        self.assertEqual(rows, answer(database, table, columns, where))
        return columns, rows

    def test_all_types_are_read_in_place(self):
        database = "iceberg-types"
        lines = []
        for row in range(900):
            # Three days, one of them before 1970, with times between two microseconds.
            day = (-400 * DAY, START, START + DAY)[row % 3]
            when = day + row * 10**9 + row % 1_000
            lines.append(
                f'all\\ types,host=h{row % 7},a\\ tag=ä\\ {row % 3} float={row * 0.1},integer={row - 450}i,'
                f'unsigned={2**64 - 1 - row}u,boolean={row % 2 == 0},text="t \\"{row % 11}\\"",a\\ field={row}i {when}'
            )
            if row % 5 == 0:
                lines.append(f"sparse,host=h{row % 7} f{row % 3}={row} {when}")
        server.create_database(database)
        server.write_lines(database, *lines)
        extremes = [f"extremes i={2**63 - 1}i,f=1.7976931348623157e308 {START}", f"extremes i=-{2**63}i,f=5e-324 {START + 1_000}"]
        server.write_lines(database, *extremes)
        compact("-d", database, "--flush-only")
        objects = server.sql(database, "SELECT path FROM system.parquet_files")
        self.assertTrue(all(row["path"].endswith(".bundle") for row in objects), objects)
        tables = publish(database)
        self.assertEqual(sorted(tables), ["all types", "extremes", "sparse"])
        columns, rows = self.assert_equal(database, "all types", tables["all types"])
        self.assertEqual(columns, ["a field", "a tag", "boolean", "float", "host", "integer", "text", "time"])
        self.assertEqual(len(rows), 900)
        self.assert_equal(database, "sparse", tables["sparse"])
        self.assert_equal(database, "extremes", tables["extremes"])
        metadata = open_table(metadata_of(tables["all types"]))
        self.assertEqual(metadata.properties["neap.omitted-columns"], '["unsigned"]')
        self.assertNotIn("neap.omitted-columns", open_table(metadata_of(tables["sparse"])).properties)
        stated = summary(tables["all types"])
        self.assertEqual((stated["total-records"], stated["neap.unsettled-sections"]), ("900", "0"))
        # No copies: the data files are the objects of the sections.
        files = [task.file.file_path for task in metadata.scan().plan_files()]
        objects = server.sql(database, "SELECT path FROM system.parquet_files WHERE table_name = 'all types'")
        self.assertEqual(
            sorted(file[file.rindex("data/") :] for file in files),
            sorted(row["path"] for row in objects),
        )
        # Bounds prune files without losing rows.
        with_h3 = read_with_pyiceberg(metadata_of(tables["all types"]), "host == 'h3'")
        self.assertEqual(with_h3[1], answer(database, "all types", columns, "host = 'h3'"))
        early = read_with_pyiceberg(metadata_of(tables["all types"]), "time < '2000-01-01T00:00:00'")
        self.assertEqual(early[1], answer(database, "all types", columns, "time < '2000-01-01'"))
        self.assertEqual(len(early[1]), 300)

    def test_an_unchanged_table_is_not_published_again_and_new_columns_are(self):
        database = "iceberg-growth"
        server.create_database(database)
        server.write_lines(database, f"m,host=a one=1 {START}", f"m,host=b one=2 {START + DAY}")
        first = publish(database)["m"]
        before = metadata_of(first)
        self.assertEqual(publish(database)["m"], first)
        self.assertEqual(metadata_of(first), before)
        columns, _ = self.assert_equal(database, "m", first)
        server.write_lines(database, f'm,host=a,room=x one=3,two="new" {START + 2 * DAY}')
        self.assertEqual(publish(database)["m"], first)
        grown, rows = self.assert_equal(database, "m", first)
        self.assertEqual(set(grown) - set(columns), {"room", "two"})
        self.assertEqual(len(rows), 3)
        # The earlier metadata remain readable, with their own columns.
        self.assertEqual(read_with_pyiceberg(before)[0], columns)
        self.assertEqual(open_table(before).metadata.table_uuid, open_table(metadata_of(first)).metadata.table_uuid)

    def test_unsettled_times_keep_their_last_settled_state(self):
        database = "iceberg-late"
        server.create_database(database)
        minutes = range(0, 600, 10)
        server.write_lines(database, *(f"m,host=a v={minute},w={minute} {START + minute * 10**9}" for minute in minutes))
        server.write_lines(database, *(f"m,host=a v={minute} {START + 3 * DAY + minute * 10**9}" for minute in minutes))
        server.write_lines(database, f"gone v=1 {START}")
        tables = publish(database)
        location = tables["m"]
        columns, settled = self.assert_equal(database, "m", location)
        # Late rows: a new point, and a new value of one field of a point.
        server.write_lines(database, f"m,host=a v=-1 {START + 5 * 10**9}", f"m,host=a v=-2 {START + 20 * 10**9}")
        server.request("DELETE", "/api/v3/configure/table?db=iceberg-late&table=gone")
        publish(database, settle_after="30m")
        self.assertEqual(read(location)[1], settled)
        # The table is published again only if its files change, and then says what is not settled.
        server.write_lines(database, f"m,host=a v=7 {START + 5 * DAY}")
        text = compact("-d", database, "--publish", "iceberg", "--settle-after", "30m")
        self.assertIn("rows in 1 sections are not settled", text)
        publish(database)
        columns, merged = self.assert_equal(database, "m", location)
        self.assertEqual(len(merged), len(settled) + 2)
        self.assertEqual(summary(location)["neap.unsettled-sections"], "0")
        # A dropped table is withdrawn.
        with self.assertRaises(FileNotFoundError):
            metadata_of(tables["gone"])

    def test_deleted_rows_are_not_published(self):
        database = "iceberg-deletes"
        server.create_database(database)
        rows = [f"m,host=h{row % 4} v={row} {START + row * 10**9}" for row in range(200)]
        server.write_lines(database, *rows, f"m,host=h1 v=-1 {START + 9 * DAY}")
        location = publish(database)["m"]
        before = metadata_of(location)
        self.assert_equal(database, "m", location)
        server.sql(database, "DELETE FROM m WHERE host = 'h2'")
        # Published tables are rewritten without the rows at once.
        self.assertEqual(publish(database, settle_after="30m")["m"], location)
        _, found = self.assert_equal(database, "m", location)
        self.assertEqual(len(found), 151)
        # A reader of the earlier metadata still finds their files.
        self.assertEqual(len(read_with_pyiceberg(before)[1]), 201)

    def test_files_are_kept_while_they_are_published(self):
        database = "iceberg-kept"
        server.create_database(database)
        server.write_lines(database, *(f"m,host=a v={row} {START + row * 10**9}" for row in range(100)))
        location = publish(database)["m"]
        _, before = self.assert_equal(database, "m", location)
        server.write_lines(database, *(f"m,host=a v=-{row} {START + row * 10**9 + 5}" for row in range(100)))
        eager = ["--settle-after", "0s", "--time-travel", "0s", "--query-timeout", "0s"]
        for _ in range(3):
            compact("-d", database, *eager)
        self.assertEqual(len(server.sql(database, "SELECT path FROM system.parquet_files")), 1)
        self.assertEqual(read(location)[1], before)
        publish(database)
        self.assert_equal(database, "m", location)

    def test_expired_rows_are_named(self):
        database = "iceberg-retention"
        status, _, text = server.request(
            "POST", "/api/v3/configure/database", json.dumps({"db": database, "retention_period": "2d"}), server.JSON
        )
        self.assertEqual(status, 200, text)
        now = time.time_ns()
        server.write_lines(database, *(f"m v={hour} {now - hour * 3_600 * 10**9}" for hour in range(1, 47)))
        location = publish(database)["m"]
        expired_before = summary(location)["neap.expired-before"]
        self.assertRegex(expired_before, r"^\d{4}-\d\d-\d\dT.*Z$")
        self.assert_equal(database, "m", location, f"time >= '{expired_before}'")


if __name__ == "__main__":
    unittest.main()
