"""The ADBC driver of Flight SQL, `adbc-driver-flightsql`: `adbc_ingest`.

| of the library | tests |
|---|---|
| modes `append`, `create`, `create_append`, `replace` | `Modes` |
| tables, record batches, readers, batches of other libraries; `catalog_name`, `db_schema_name`, `temporary` | `Forms` |
| each type of a column, tags by dictionary and by metadata | `Types` |
| refused rows and columns, tokens without permission | `Refusals` |
"""

import unittest

import pandas
import polars
import pyarrow
from adbc_connection import connect, dbapi
from flight_connection import column_type
from server import TestCase, create_token, has_table, sql, write_lines

DATABASE = "adbc-ingest"


def rows(count=3, start=0):
    numbers = range(start, start + count)
    return pyarrow.table(
        {
            "room": pyarrow.array([f"r{number}" for number in numbers]).dictionary_encode(),
            "v": pyarrow.array(numbers),
            "time": pyarrow.array(numbers, pyarrow.timestamp("ns")),
        }
    )


class IngestTest(TestCase):
    def setUp(self):
        self.connection = connect(DATABASE)
        self.addCleanup(self.connection.close)
        self.cursor = self.connection.cursor()
        self.addCleanup(self.cursor.close)

    def assertCount(self, table, count):
        self.assertStored(DATABASE, f'SELECT count(*) AS n FROM "{table}"', [{"n": count}])


class Modes(IngestTest):
    def test_append(self):
        write_lines(DATABASE, "appended v=0i 0")
        self.assertEqual(self.cursor.adbc_ingest("appended", rows(), mode="append"), 3)
        self.assertEqual(self.cursor.adbc_ingest("appended", rows(start=3), mode="append"), 3)
        # The first row of the table has no tag.
        self.assertCount("appended", 7)

    def test_create(self):
        self.assertEqual(self.cursor.adbc_ingest("created", rows(), mode="create"), 3)
        stored = sql(DATABASE, "SELECT room, v FROM created ORDER BY v")
        self.assertEqual(stored, [{"room": f"r{number}", "v": number} for number in range(3)])

    def test_create_a_table_that_exists(self):
        write_lines(DATABASE, "existing v=0i 0")
        with self.assertRaises(dbapi.Error) as caught:
            self.cursor.adbc_ingest("existing", rows(), mode="create")
        self.assertIn("existing", str(caught.exception))
        self.assertCount("existing", 1)

    def test_append_to_a_table_that_does_not_exist(self):
        write_lines(DATABASE, "other v=0i 0")
        with self.assertRaises(dbapi.Error) as caught:
            self.cursor.adbc_ingest("missing", rows(), mode="append")
        self.assertIn("missing", str(caught.exception))
        self.assertFalse(has_table(DATABASE, "missing"))

    def test_create_or_append(self):
        for start in [0, 3]:
            self.assertEqual(self.cursor.adbc_ingest("either", rows(start=start), mode="create_append"), 3)
        self.assertCount("either", 6)

    def test_replace_is_refused_and_changes_nothing(self):
        write_lines(DATABASE, "kept v=0i 0")
        with self.assertRaises(dbapi.Error):
            self.cursor.adbc_ingest("kept", rows(), mode="replace")
        self.assertStored(DATABASE, "SELECT v FROM kept", [{"v": 0}])


class Forms(IngestTest):
    def test_each_form_of_rows(self):
        table = rows(4)
        forms = {
            "table": table,
            "batch": table.combine_chunks().to_batches()[0],
            "reader": table.to_reader(max_chunksize=2),
            "polars": polars.DataFrame({"v": [1, 2, 3, 4], "time": [1, 2, 3, 4]}).with_columns(
                polars.col("time").cast(polars.Datetime("ns"))
            ),
            "pandas": pyarrow.Table.from_pandas(
                pandas.DataFrame({"v": range(4), "time": pandas.date_range("2024-01-01", periods=4)})
            ),
        }
        for name, form in forms.items():
            with self.subTest(name):
                self.assertEqual(self.cursor.adbc_ingest(name, form, mode="create_append"), 4)
                self.assertCount(name, 4)

    def test_many_rows(self):
        self.assertEqual(self.cursor.adbc_ingest("many", rows(30_000).to_reader(max_chunksize=1_000)), 30_000)
        self.assertCount("many", 30_000)

    def test_no_rows(self):
        self.assertEqual(self.cursor.adbc_ingest("none", rows(0), mode="create_append"), 0)

    def test_names_of_schemas(self):
        self.cursor.adbc_ingest("named", rows(), mode="create_append", catalog_name="public", db_schema_name="iox")
        self.assertCount("named", 3)
        for name in [{"db_schema_name": "system"}, {"catalog_name": "other"}]:
            with self.subTest(name), self.assertRaises(dbapi.Error):
                self.cursor.adbc_ingest("elsewhere", rows(), mode="create_append", **name)
        self.assertFalse(has_table(DATABASE, "elsewhere"))

    def test_temporary_tables_are_refused(self):
        with self.assertRaises(dbapi.Error):
            self.cursor.adbc_ingest("temporary", rows(), mode="create_append", temporary=True)
        self.assertFalse(has_table(DATABASE, "temporary"))

    def test_what_was_read_can_be_written(self):
        write_lines(DATABASE, 'source,t=a b=true,f=1.5,i=-1i,s="x",u=1u 5')
        table = self.cursor.execute("SELECT * FROM source").fetch_arrow_table()
        self.cursor.adbc_ingest("copy", table, mode="create")
        copy = self.cursor.execute("SELECT * FROM copy").fetch_arrow_table()
        self.assertTrue(copy.schema.equals(table.schema, check_metadata=True))
        self.assertEqual(copy.to_pylist(), table.to_pylist())


class Types(IngestTest):
    def test_each_type(self):
        columns = {
            "i8": pyarrow.array([1], pyarrow.int8()),
            "u32": pyarrow.array([2], pyarrow.uint32()),
            "f32": pyarrow.array([0.5], pyarrow.float32()),
            "b": pyarrow.array([True]),
            "s": pyarrow.array(["text"], pyarrow.large_string()),
            "time": pyarrow.array([1_641_024_000_000], pyarrow.timestamp("ms", "UTC")),
        }
        self.cursor.adbc_ingest("types", pyarrow.table(columns), mode="create")
        expected = {"b": True, "f32": 0.5, "i8": 1, "s": "text", "time": "2022-01-01T08:00:00", "u32": 2}
        self.assertStored(DATABASE, "SELECT * FROM types", [expected])

    def test_tags(self):
        schema = pyarrow.schema(
            [
                pyarrow.field("dictionary", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
                pyarrow.field("metadata", pyarrow.string(), metadata=column_type("tag")),
                pyarrow.field("field", pyarrow.string()),
                pyarrow.field("time", pyarrow.timestamp("ns")),
            ]
        )
        table = pyarrow.table({"dictionary": ["a"], "metadata": ["b"], "field": ["c"], "time": [1]}, schema=schema)
        self.cursor.adbc_ingest("tags", table, mode="create")
        stored = self.connection.adbc_get_table_schema("tags")
        kinds = {field.name: field.metadata for field in stored}
        for name, kind in [("dictionary", "tag"), ("metadata", "tag"), ("field", "field::string")]:
            self.assertEqual(kinds[name], column_type(kind), name)


class Refusals(IngestTest):
    def test_columns_and_rows_are_named(self):
        with self.assertRaises(dbapi.Error) as caught:
            self.cursor.adbc_ingest("refused", pyarrow.table({"odd": pyarrow.array([b"x"])}), mode="create_append")
        self.assertIn("odd", str(caught.exception))
        write_lines(DATABASE, "whole v=1i 0")
        table = pyarrow.table({"v": [1.0, 2.5], "time": pyarrow.array([1, 2], pyarrow.timestamp("ns"))})
        with self.assertRaises(dbapi.Error) as caught:
            self.cursor.adbc_ingest("whole", table, mode="append")
        self.assertRegex(str(caught.exception), r"(line|row) 2\b")

    def test_permissions(self):
        reader = create_token("adbc-ingest-reader", (DATABASE, "read"))
        with connect(DATABASE, token=reader) as connection, connection.cursor() as cursor:
            with self.assertRaises(dbapi.ProgrammingError):
                cursor.adbc_ingest("forbidden", rows(), mode="create_append")
        self.assertFalse(has_table(DATABASE, "forbidden"))
        writer = create_token("adbc-ingest-writer", (DATABASE, "write"))
        with connect(DATABASE, token=writer) as connection, connection.cursor() as cursor:
            self.assertEqual(cursor.adbc_ingest("permitted", rows(), mode="create_append"), 3)


if __name__ == "__main__":
    unittest.main()
