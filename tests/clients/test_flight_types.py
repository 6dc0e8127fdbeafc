"""Values of every type, in answers to queries and in rows that `DoPut` writes, with `pyarrow.flight`.

| subject | tests |
|---|---|
| each Arrow type that a query can compute | `Computed` |
| each Arrow type of a column that is written, and the field or tag it becomes | `Written` |
| nulls, not a number, infinities, extremes of numbers and time, long strings | `Extremes` |
| types that no column can have | `Refused` |
"""

import datetime
import decimal
import math
import unittest

import numpy
import pyarrow
from flight_connection import Connection, column_type
from pyarrow import flight
from server import TestCase, create_database, write_lines

DATABASE = "types"
ANY_TIME = pyarrow.array([1_641_024_000_000_000_000], pyarrow.timestamp("ns"))
MAX_STRING_BYTES = 1 << 20
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def setUpModule():
    create_database(DATABASE)


class TypesTest(TestCase):
    def setUp(self):
        self.connection = Connection()
        self.addCleanup(self.connection.client.close)

    def query(self, query):
        return self.connection.query(DATABASE, query)

    def put(self, table, columns, times=ANY_TIME, fields=None):
        """Writes columns, and returns what the server answers."""
        names = {**columns, "time": times}
        schema = pyarrow.schema(
            [pyarrow.field(name, array.type, metadata=(fields or {}).get(name)) for name, array in names.items()]
        )
        rows = pyarrow.Table.from_arrays(list(names.values()), schema=schema)
        return self.connection.put(flight.FlightDescriptor.for_path(table), rows, {"database": DATABASE})

    def stored(self, table, column="v"):
        """Returns the Arrow type and the values of a column, in the order of time."""
        values = self.query(f'SELECT "{column}" FROM "{table}" ORDER BY time').column(0)
        return values.type, values.to_pylist()


class Computed(TypesTest):
    def computed(self, expression):
        column = self.query(f"SELECT {expression} AS v").column(0)
        return column.type, column[0].as_py()

    def test_numbers(self):
        for name, arrow in [
            ("Int8", pyarrow.int8()),
            ("Int16", pyarrow.int16()),
            ("Int32", pyarrow.int32()),
            ("Int64", pyarrow.int64()),
            ("UInt8", pyarrow.uint8()),
            ("UInt16", pyarrow.uint16()),
            ("UInt32", pyarrow.uint32()),
            ("UInt64", pyarrow.uint64()),
            ("Float16", pyarrow.float16()),
            ("Float32", pyarrow.float32()),
            ("Float64", pyarrow.float64()),
        ]:
            with self.subTest(name):
                self.assertEqual(self.computed(f"arrow_cast(7, '{name}')"), (arrow, 7))
        expected = (pyarrow.decimal128(10, 2), decimal.Decimal("1.50"))
        self.assertEqual(self.computed("arrow_cast(1.5, 'Decimal128(10, 2)')"), expected)

    def test_texts(self):
        # Clients without views and dictionaries read all of them.
        for name in ["Utf8", "Dictionary(Int32, Utf8)", "Utf8View"]:
            with self.subTest(name):
                self.assertEqual(self.computed(f"arrow_cast('text', '{name}')"), (pyarrow.string(), "text"))
        arrow, value = self.computed("arrow_cast('text', 'LargeUtf8')")
        self.assertIn(arrow, (pyarrow.string(), pyarrow.large_string()))
        self.assertEqual(value, "text")

    def test_functions_of_texts(self):
        write_lines(DATABASE, 'texts,t=tag s="Field" 1')
        for expression in ["upper(t)", "concat(t, s)", "substr(s, 2)", "coalesce(t, s)", "max(s)", "min(t)"]:
            with self.subTest(expression):
                column = self.query(f"SELECT {expression} AS v FROM texts").column(0)
                self.assertEqual(column.type, pyarrow.string())

    def test_bytes(self):
        arrow, value = self.computed("arrow_cast('text', 'Binary')")
        self.assertEqual((arrow, value), (pyarrow.binary(), b"text"))

    def test_booleans_and_nulls(self):
        self.assertEqual(self.computed("1 = 1"), (pyarrow.bool_(), True))
        self.assertEqual(self.computed("NULL"), (pyarrow.null(), None))

    def test_times(self):
        for unit, name in [("s", "Second"), ("ms", "Millisecond"), ("us", "Microsecond"), ("ns", "Nanosecond")]:
            with self.subTest(unit):
                column = self.query(f"SELECT arrow_cast(1, 'Timestamp({name}, None)') AS v").column(0)
                self.assertEqual(column.type, pyarrow.timestamp(unit))
                self.assertEqual(column.cast(pyarrow.int64()).to_pylist(), [1])
        arrow, _ = self.computed("tz(TIMESTAMP '2024-07-01T00:00:00', 'Europe/Berlin')")
        self.assertEqual(arrow, pyarrow.timestamp("ns", "Europe/Berlin"))
        self.assertEqual(self.computed("DATE '2024-02-29'"), (pyarrow.date32(), datetime.date(2024, 2, 29)))
        arrow, value = self.computed("arrow_cast('01:02:03', 'Time64(Microsecond)')")
        self.assertEqual((arrow, value), (pyarrow.time64("us"), datetime.time(1, 2, 3)))
        arrow, _ = self.computed("arrow_cast(5, 'Duration(Second)')")
        self.assertEqual(arrow, pyarrow.duration("s"))
        arrow, value = self.computed("INTERVAL '1 month 2 days 3 seconds'")
        self.assertEqual((arrow, value), (pyarrow.month_day_nano_interval(), (1, 2, 3_000_000_000)))

    def test_lists_structs_and_maps(self):
        arrow, value = self.computed("make_array(1, 2, NULL)")
        self.assertTrue(pyarrow.types.is_list(arrow), arrow)
        self.assertEqual(value, [1, 2, None])
        _, value = self.computed("named_struct('a', 1, 'b', 'x')")
        self.assertEqual(value, {"a": 1, "b": "x"})
        _, value = self.computed("MAP {'a': 1}")
        self.assertEqual(value, [("a", 1)])
        write_lines(DATABASE, "selected v=1 1", "selected v=2 2")
        struct = self.query("SELECT selector_last(v, time) AS v FROM selected").column(0)[0].as_py()
        self.assertEqual((struct["value"], struct["time"].value), (2.0, 2))

    def test_lists_of_texts_are_readable_for_all_clients(self):
        write_lines(DATABASE, "lists,t=a v=1i 1", "lists,t=b v=1i 2")
        arrow = self.query("SELECT array_agg(t) AS v FROM lists").column(0).type
        self.assertEqual(arrow.value_type, pyarrow.string())

    def test_not_a_number_and_infinities(self):
        query = "SELECT CAST('NaN' AS DOUBLE) AS n, CAST('Infinity' AS DOUBLE) AS p, CAST('-Infinity' AS DOUBLE) AS m"
        [row] = self.query(query).to_pylist()
        self.assertTrue(math.isnan(row["n"]))
        self.assertEqual((row["p"], row["m"]), (math.inf, -math.inf))


class Written(TypesTest):
    def test_each_type_and_its_field(self):
        integers = [getattr(pyarrow, f"int{bits}")() for bits in (8, 16, 32, 64)]
        unsigned = [getattr(pyarrow, f"uint{bits}")() for bits in (8, 16, 32, 64)]
        floats = [pyarrow.float16(), pyarrow.float32(), pyarrow.float64()]
        texts = [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()]
        cases = [
            *((arrow, [1, None, 3], pyarrow.int64()) for arrow in integers),
            *((arrow, [1, None, 3], pyarrow.uint64()) for arrow in unsigned),
            *((arrow, [1.5, None, -2.0], pyarrow.float64()) for arrow in floats),
            *((arrow, ["a", None, ""], pyarrow.string()) for arrow in texts),
            (pyarrow.bool_(), [True, None, False], pyarrow.bool_()),
        ]
        times = pyarrow.array([1, 2, 3], pyarrow.timestamp("ns"))
        # A row without a field is no point.
        present = pyarrow.array([0, 0, 0])
        for arrow, values, expected in cases:
            with self.subTest(arrow):
                table = f"written_{arrow}"
                array = (
                    pyarrow.array([None if v is None else numpy.float16(v) for v in values], arrow)
                    if (arrow == pyarrow.float16())
                    else pyarrow.array(values, arrow)
                )
                self.put(table, {"v": array, "present": present}, times)
                self.assertEqual(self.stored(table), (expected, values))

    def test_decimals_are_floats(self):
        array = pyarrow.array([decimal.Decimal("1.50")], pyarrow.decimal128(10, 2))
        self.put("decimals", {"v": array})
        self.assertEqual(self.stored("decimals"), (pyarrow.float64(), [1.5]))

    def test_dictionaries_are_tags(self):
        tag = pyarrow.array(["a"]).dictionary_encode()
        self.put("dictionaries", {"t": tag, "v": pyarrow.array([1])})
        field = self.query("SELECT t FROM dictionaries").schema.field("t")
        self.assertEqual(field.metadata, column_type("tag"))

    def test_dictionaries_with_every_index_type(self):
        for index in [pyarrow.int8(), pyarrow.int16(), pyarrow.int32(), pyarrow.int64(), pyarrow.uint8()]:
            with self.subTest(index):
                tag = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1, 0], index), ["x", "y"])
                times = pyarrow.array([1, 2], pyarrow.timestamp("ns"))
                self.put(f"indexes_{index}", {"t": tag, "v": pyarrow.array([1, 2])}, times)
                self.assertEqual(self.stored(f"indexes_{index}", "t"), (pyarrow.string(), ["y", "x"]))

    def test_the_metadata_of_a_column_says_what_it_is(self):
        self.put(
            "metadata",
            {"t": pyarrow.array(["tag"]), "s": pyarrow.array(["field"])},
            fields={"t": column_type("tag"), "s": column_type("field::string")},
        )
        schema = self.query("SELECT * FROM metadata").schema
        kinds = {field.name: field.metadata for field in schema}
        self.assertEqual((kinds["t"], kinds["s"]), (column_type("tag"), column_type("field::string")))

    def test_an_answer_can_be_written_as_it_is(self):
        write_lines(DATABASE, 'source,t=a b=true,f=1.5,i=-1i,s="x",u=1u 5', "source,t=b f=2 6")
        rows = self.query("SELECT * FROM source")
        self.connection.put(flight.FlightDescriptor.for_path("copy"), rows, {"database": DATABASE})
        copy = self.query("SELECT * FROM copy")
        self.assertTrue(copy.schema.equals(rows.schema, check_metadata=True), copy.schema)
        order = [("t", "ascending")]
        self.assertEqual(copy.sort_by(order).to_pylist(), rows.sort_by(order).to_pylist())

    def test_times_of_every_unit(self):
        for unit, value in [("s", 10**9), ("ms", 10**12), ("us", 10**15), ("ns", 10**18)]:
            for zone in [None, "UTC", "+02:00", "Europe/Berlin"]:
                with self.subTest(unit, zone=zone):
                    table = f"times_{unit}_{zone}"
                    self.put(table, {"v": pyarrow.array([1])}, pyarrow.array([value], pyarrow.timestamp(unit, zone)))
                    times = self.query(f'SELECT time FROM "{table}"').column(0).cast(pyarrow.int64())
                    self.assertEqual(times.to_pylist(), [10**18])

    def test_times_of_other_types(self):
        for name, values, expected in [
            ("date", pyarrow.array([datetime.date(2001, 9, 9)]), 999_993_600 * 10**9),
            ("integer", pyarrow.array([10**18 + 1]), 10**18 + 1),
            ("text", pyarrow.array(["2001-09-09T03:46:40.5+02:00"]), 10**18 + 5 * 10**8),
        ]:
            with self.subTest(name):
                self.put(f"times_{name}", {"v": pyarrow.array([1])}, values)
                times = self.query(f"SELECT time FROM times_{name}").column(0).cast(pyarrow.int64())
                self.assertEqual(times.to_pylist(), [expected])

    def test_a_numeric_column_takes_other_numbers_only_if_they_are_exact(self):
        write_lines(DATABASE, "numeric f=1.5,i=1i,u=1u 0")
        times = pyarrow.array([1], pyarrow.timestamp("ns"))
        self.put("numeric", {"f": pyarrow.array([7]), "i": pyarrow.array([7.0]), "u": pyarrow.array([7])}, times)
        rows = self.query("SELECT f, i, u FROM numeric ORDER BY time").to_pylist()
        self.assertEqual(rows[1], {"f": 7.0, "i": 7, "u": 7})
        for column, value in [("f", 2**53 + 1), ("i", 7.5), ("u", -7)]:
            with self.subTest(column), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put("numeric", {column: pyarrow.array([value])}, times)
            self.assertIn(f"'{column}'", str(caught.exception))


class Extremes(TypesTest):
    def test_the_extremes_of_integers(self):
        times = pyarrow.array([1, 2], pyarrow.timestamp("ns"))
        columns = {
            "i": pyarrow.array([INT64_MIN, INT64_MAX], pyarrow.int64()),
            "u": pyarrow.array([0, 2**64 - 1], pyarrow.uint64()),
        }
        self.put("integers", columns, times)
        self.assertEqual(self.stored("integers", "i")[1], [INT64_MIN, INT64_MAX])
        self.assertEqual(self.stored("integers", "u")[1], [0, 2**64 - 1])

    def test_the_extremes_of_floats(self):
        values = [5e-324, -1.7976931348623157e308, 1.7976931348623157e308, 0.1, -0.0]
        times = pyarrow.array(range(len(values)), pyarrow.timestamp("ns"))
        self.put("floats", {"v": pyarrow.array(values)}, times)
        stored = self.stored("floats")[1]
        self.assertEqual([value.hex() for value in stored], [value.hex() for value in values])

    def test_values_that_no_float_field_has(self):
        for value in [math.nan, math.inf, -math.inf]:
            with self.subTest(value), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                times = pyarrow.array([1, 2], pyarrow.timestamp("ns"))
                self.put("no_floats", {"v": pyarrow.array([1.0, value])}, times)
            self.assertRegex(str(caught.exception), r"(line|row) 2\b")
            self.assertIn("'v'", str(caught.exception))

    def test_the_extremes_of_time(self):
        times = pyarrow.array([INT64_MIN, 0, INT64_MAX], pyarrow.timestamp("ns"))
        self.put("extremes", {"v": pyarrow.array([1, 2, 3])}, times)
        stored = self.query("SELECT time FROM extremes ORDER BY time").column(0).cast(pyarrow.int64())
        self.assertEqual(stored.to_pylist(), [INT64_MIN, 0, INT64_MAX])

    def test_times_beyond_nanoseconds_are_refused(self):
        for unit, value in [("s", 10**10), ("ms", 10**14), ("us", -(10**17))]:
            times = pyarrow.array([0, value], pyarrow.timestamp(unit))
            with self.subTest(unit), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put("beyond", {"v": pyarrow.array([1, 2])}, times)
            self.assertRegex(str(caught.exception), r"(line|row) 2\b")

    def test_a_missing_time_is_the_time_of_the_request(self):
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
        rows = pyarrow.table({"v": [1]})
        self.connection.put(flight.FlightDescriptor.for_path("no_time"), rows, {"database": DATABASE})
        self.put("no_time", {"v": pyarrow.array([1])}, pyarrow.array([None], pyarrow.timestamp("ns")))
        for time in self.query("SELECT time FROM no_time").column(0).to_pylist():
            self.assertGreater(time.tz_localize("UTC"), before)

    def test_strings_up_to_the_limit(self):
        longest = "x" * MAX_STRING_BYTES
        self.put("long", {"v": pyarrow.array([longest])})
        self.assertEqual(self.stored("long")[1], [longest])

    def test_longer_strings_are_refused_with_their_row(self):
        times = pyarrow.array([1, 2, 3], pyarrow.timestamp("ns"))
        for kind, array in [
            ("field", pyarrow.array(["a", "b", "x" * (MAX_STRING_BYTES + 1)])),
            ("tag", pyarrow.array(["a", "b", "x" * (MAX_STRING_BYTES + 1)]).dictionary_encode()),
        ]:
            with self.subTest(kind), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put(f"longer_{kind}", {"v": array, "n": pyarrow.array([1, 2, 3])}, times)
            self.assertRegex(str(caught.exception), r"(line|row) 3\b")
            self.assertLess(len(str(caught.exception)), 5_000)

    def test_rows_without_values_are_refused_with_their_row(self):
        times = pyarrow.array([1, 2], pyarrow.timestamp("ns"))
        with self.assertRaises(pyarrow.ArrowInvalid) as caught:
            self.put("empty_rows", {"v": pyarrow.array([1, None], pyarrow.int64())}, times)
        self.assertRegex(str(caught.exception), r"(line|row) 2\b")

    def test_texts_with_every_kind_of_character(self):
        values = ["", " ", "a,b=c d", 'say "hi"', "back\\slash", "line\nbreak", "\t", "ü", "漢字", "\U0001f600"]
        times = pyarrow.array(range(len(values)), pyarrow.timestamp("ns"))
        self.put("characters", {"v": pyarrow.array(values)}, times)
        self.assertEqual(self.stored("characters")[1], values)


class Refused(TypesTest):
    def test_types_without_a_field(self):
        for array in [
            pyarrow.array([b"x"]),
            pyarrow.array([[1]]),
            pyarrow.array([{"a": 1}]),
            pyarrow.array([datetime.time(1)]),
            pyarrow.array([datetime.timedelta(1)]),
        ]:
            with self.subTest(array.type), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put("refused", {"odd": array, "v": pyarrow.array([1])})
            self.assertIn("'odd'", str(caught.exception))

    def test_a_column_of_another_type(self):
        write_lines(DATABASE, 'existing,t=a s="x",b=true,i=1i 1')
        for column, array in [
            ("s", pyarrow.array([1])),
            ("b", pyarrow.array(["true"])),
            ("i", pyarrow.array(["1"])),
            ("t", pyarrow.array([1])),
        ]:
            with self.subTest(column), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put("existing", {column: array})
            self.assertIn(f"'{column}'", str(caught.exception))

    def test_times_that_are_none(self):
        for times in [pyarrow.array(["yesterday"]), pyarrow.array([math.nan]), pyarrow.array([True])]:
            with self.subTest(times.type), self.assertRaises(pyarrow.ArrowInvalid) as caught:
                self.put("refused_time", {"v": pyarrow.array([1])}, times)
            self.assertIn("time", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
