"""Exports of `neap export`, read with DuckDB and pyarrow and compared value by value with the rows that were written.

    NEAP_URL=... NEAP_TOKEN=... NEAP_BIN=target/release/neap python -m unittest export_files
"""

import datetime
import hashlib
import json
import math
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

import server

NEAP = os.environ["NEAP_BIN"]
DATABASE = "exported"
DAY = 86_400 * 10**9
START = 20_454 * DAY  # 2026-01-01
DAYS = 5
ROWS_PER_DAY = 400
TABLE = "odd, table=1"

# Texts that each text format must quote or escape.
TEXTS = ['plain', 'a "quoted" word', 'comma, and = sign', 'back\\slash', 'ends with \\', 'tab\tand\nnew line', 'ä€𝄞', "it's"]
FLOATS = [0.1, -0.0, 1e300, 5e-324, 1.7976931348623157e308, -123456.789, 3.0, 2**53 + 2.0]
INTEGERS = [0, -1, 2**63 - 1, -(2**63)]
UNSIGNED = [0, 1, 2**64 - 1]
TAGS = ["plain", "with space", "with,comma", "with=sign", "with\\slash", "ünïcode"]


def rows():
    """All rows by tag and time."""
    for number in range(DAYS * ROWS_PER_DAY):
        day, place = divmod(number, ROWS_PER_DAY)
        yield {
            "tag": TAGS[number % len(TAGS)],
            "time": START + day * DAY + place * (DAY // ROWS_PER_DAY) + number % 1000,
            "text": TEXTS[number % len(TEXTS)],
            "float": FLOATS[number % len(FLOATS)],
            # Not every row has every field.
            "integer": INTEGERS[number % len(INTEGERS)] if number % 3 else None,
            "unsigned": UNSIGNED[number % len(UNSIGNED)] if number % 5 else None,
            "boolean": number % 2 == 0 if number % 7 else None,
        }


def escaped(text, special):
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)


def line(row):
    """A row as line protocol."""
    text = row["text"].replace("\\", "\\\\").replace('"', '\\"')
    fields = [f'text="{text}"', f"float={row['float']!r}"]
    if row["integer"] is not None:
        fields.append(f"integer={row['integer']}i")
    if row["unsigned"] is not None:
        fields.append(f"unsigned={row['unsigned']}u")
    if row["boolean"] is not None:
        fields.append(f"boolean={'true' if row['boolean'] else 'false'}")
    return f"{escaped(TABLE, ', ')},tag={escaped(row['tag'], ', =')} {','.join(fields)} {row['time']}"


def identity(row):
    """A row as a comparable value, in which -0.0 and 0.0 differ."""
    return tuple(
        (value, math.copysign(1, value)) if isinstance(value, float) else value
        for value in (row[name] for name in ("time", "tag", "text", "float", "integer", "unsigned", "boolean"))
    )


def neap(*arguments):
    """Runs the program, and returns its standard output."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def command(*arguments):
    return [NEAP, *map(str, arguments), "--host", server.URL, "--token", server.TOKEN]


def export(folder, *options):
    neap("export", "--database", DATABASE, "--output", folder, "--quiet", *options)
    return folder


def verify(folder):
    done = subprocess.run([NEAP, "export", "--verify", str(folder)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def nanoseconds(column):
    return column.cast(pa.int64()).to_pylist()


def table_rows(table):
    """The rows of a pyarrow table, as `rows` yields them."""
    columns = {name: table[name] for name in table.column_names if name != "day"}
    times = nanoseconds(columns.pop("time"))
    values = {name: column.to_pylist() for name, column in columns.items()}
    return [{"time": at, **{name: values[name][row] for name in values}} for row, at in enumerate(times)]


class ExportTest(server.TestCase):
    @classmethod
    def setUpClass(cls):
        server.write_lines(DATABASE, *map(line, rows()))
        server.write_lines(DATABASE, "small value=1 1767225600000000000")
        cls.expected = sorted(map(identity, rows()), key=repr)

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = pathlib.Path(self.folder.name, "out")

    def assertRows(self, found):
        self.assertEqual(sorted(map(identity, found), key=repr), self.expected)

    def parts(self, extension):
        return sorted(self.out.glob(f"odd*/day=*/*.{extension}"))

    def test_parquet_is_read_by_pyarrow_and_duckdb(self):
        for compression in ("zstd", "snappy", "gzip", "lz4", "none"):
            out = pathlib.Path(self.folder.name, compression)
            export(out, "--compression", compression)
            files = sorted(out.glob("odd*/day=*/*.parquet"))
            self.assertEqual(len(files), DAYS)
            self.assertRows(row for file in files for row in table_rows(pa.parquet.read_table(file, partitioning=None)))
            day = pa.parquet.read_table(files[1], partitioning=None)
            self.assertEqual(str(day.schema.field("tag").type), "dictionary<values=string, indices=int32, ordered=0>")
            self.assertEqual({at // DAY for at in nanoseconds(day["time"])}, {START // DAY + 1})
            pattern = str(files[0].parent.parent / "*" / "*.parquet").replace("'", "''")
            query = f"""SELECT epoch_ns(time) AS time, tag, text, float, integer, unsigned, boolean, day
                        FROM read_parquet('{pattern}', hive_partitioning = true)"""
            read = duckdb.sql(query).fetchall()
            names = ("time", "tag", "text", "float", "integer", "unsigned", "boolean")
            self.assertRows(dict(zip(names, row)) for row in read)
            first = datetime.date(2026, 1, 1)
            self.assertEqual({row[-1] for row in read}, {first + datetime.timedelta(days) for days in range(DAYS)})

    def test_arrow_files_have_the_same_rows(self):
        for compression in ("none", "lz4", "zstd"):
            out = pathlib.Path(self.folder.name, compression)
            export(out, "--format", "arrow", "--compression", compression)
            files = out.glob("odd*/day=*/*.arrow")
            self.assertRows(row for file in files for row in table_rows(pa.feather.read_table(file)))

    def test_json_lines_have_the_same_rows(self):
        export(self.out, "--format", "jsonl")
        read = []
        for file in self.parts("jsonl"):
            for text in file.read_text().splitlines():
                row = json.loads(text)
                at = row["time"]
                whole, _, fraction = at.partition(".")
                seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
                row["time"] = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
                read.append({name: row.get(name) for name in next(rows())})
        self.assertRows(read)

    def test_csv_has_the_same_rows(self):
        export(self.out, "--format", "csv", "--compression", "gzip")
        types = {
            "tag": pa.string(), "text": pa.string(), "float": pa.float64(), "integer": pa.int64(),
            "unsigned": pa.uint64(), "boolean": pa.bool_(), "time": pa.timestamp("ns"),
        }
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        convert = pa.csv.ConvertOptions(column_types=types)
        read = [pa.csv.read_csv(file, parse_options=parse, convert_options=convert) for file in self.parts("csv.gz")]
        self.assertRows(row for table in read for row in table_rows(table))

    def test_line_protocol_is_imported_again(self):
        export(self.out, "--format", "lp", "--table", TABLE)
        for file in self.parts("lp"):
            neap("write", "--database", "imported", "--quiet", "--precision", "ns", "--file", file)
        again = pathlib.Path(self.folder.name, "again")
        neap("export", "--database", "imported", "--output", again, "--quiet")
        files = again.glob("odd*/day=*/*.parquet")
        self.assertRows(row for file in files for row in table_rows(pa.parquet.read_table(file, partitioning=None)))

    def test_checksums_are_those_of_sha256sum_and_are_verified(self):
        export(self.out)
        listed = dict(reversed(text.split("  ", 1)) for text in (self.out / "SHA256SUMS").read_text().splitlines())
        self.assertEqual(len(listed), DAYS + 1)
        for path, expected in listed.items():
            self.assertEqual(hashlib.sha256((self.out / path).read_bytes()).hexdigest(), expected)
        status, text = verify(self.out)
        self.assertEqual((status, "6 files" in text), (0, True), text)
        victim = self.parts("parquet")[2]
        content = bytearray(victim.read_bytes())
        content[100] ^= 1
        victim.write_bytes(content)
        status, text = verify(self.out)
        self.assertEqual((status, "its checksum is another one" in text), (1, True), text)

    def test_an_export_that_is_killed_continues_and_has_one_state(self):
        killed = 0
        for pause in (0.0, 0.01, 0.02, 0.05, 0.1):
            process = subprocess.Popen(
                command("export", "--database", DATABASE, "--output", self.out, "--quiet", "--parallel", "1"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while process.poll() is None and not (self.out / "export.json").exists():
                time.sleep(0.005)
            time.sleep(pause)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.wait()
        self.assertGreater(killed, 0)
        # Rows that are written after the start are not part of the state.
        begun = json.loads((self.out / "export.json").read_text())
        late = {**next(rows()), "time": START + 1, "text": "late"}
        if begun["as_of"] is not None:
            server.write_lines(DATABASE, line(late))
            self.addCleanup(server.sql, DATABASE, f"DELETE FROM \"{TABLE}\" WHERE time = '2026-01-01T00:00:00.000000001Z'")
        export(self.out)
        self.assertRows(
            row for file in self.parts("parquet") for row in table_rows(pa.parquet.read_table(file, partitioning=None))
        )
        self.assertEqual(verify(self.out)[0], 0)
        self.assertFalse((self.out / ".partial").exists())

    def test_copy_writes_a_file_and_names_it(self):
        for name in ("copied.parquet", "copied.csv", "copied.json", "copied.arrow"):
            (answer,) = server.sql(DATABASE, f"""COPY "{TABLE}" TO '{name}' OPTIONS ('overwrite' 'true')""")
            self.assertEqual(answer["rows"], DAYS * ROWS_PER_DAY)
            self.assertTrue(answer["path"].endswith(f"/{name}"), answer)
            self.assertEqual(len(answer["sha256"]), 64)

    def test_copy_needs_the_permission_to_write(self):
        token = server.create_token("reader", (DATABASE, "read"))
        body = json.dumps({"db": DATABASE, "q": "COPY small TO 'small.csv'"})
        headers = {"Authorization": f"Bearer {token}"}
        status, _, text = server.request("POST", "/api/v3/query_sql", body, headers)
        self.assertEqual(status, 403, text)


if __name__ == "__main__":
    import unittest

    unittest.main()
