"""The client library of QuestDB, `questdb`: rows over HTTP."""

import unittest
import warnings
from datetime import datetime, timezone
from decimal import Decimal

import numpy
import pandas
from server import DEFAULT_DATABASE, HOST, PORT, TOKEN, TestCase, has_table, sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from questdb.ingress import IngressError, Sender, ServerTimestamp, TimestampMicros, TimestampNanos

CREDENTIALS = f"token={TOKEN};"


def sender(options="", credentials=CREDENTIALS):
    return Sender.from_conf(f"http::addr={HOST}:{PORT};{credentials}{options}")


class Rows(TestCase):
    def assertStored(self, query, rows):
        super().assertStored(DEFAULT_DATABASE, query, rows)

    def test_columns_of_all_types(self):
        with sender() as rows:
            rows.row(
                "all types",
                symbols={"side": "sell", "a b": "x=y,z w"},
                columns={
                    "price": 2615.54,
                    "amount": -3,
                    "open": False,
                    "note": 'a "b" \\ c\nd é',
                    "seen": TimestampMicros(1_700_000_000_000_001),
                    "made": datetime(2024, 1, 1, tzinfo=timezone.utc),
                    "none": None,
                    "nan": float("nan"),
                    "large": 1e300,
                },
                at=TimestampNanos(1_700_000_000_123_456_789),
            )
        self.assertStored(
            'SELECT * FROM "all types"',
            [
                {
                    "a b": "x=y,z w",
                    "amount": -3,
                    "large": 1e300,
                    "made": 1_704_067_200_000_000,
                    "note": 'a "b" \\ c\nd é',
                    "open": False,
                    "price": 2615.54,
                    "seen": 1_700_000_000_000_001,
                    "side": "sell",
                    "time": "2023-11-14T22:13:20.123456789",
                }
            ],
        )
        types = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'all types'"
        types = {row["column_name"]: row["data_type"] for row in sql(DEFAULT_DATABASE, types)}
        self.assertEqual(types["side"], "Dictionary(Int32, Utf8)")
        self.assertEqual((types["seen"], types["price"]), ("Int64", "Float64"))

    def test_times_of_rows(self):
        with sender() as rows:
            rows.row("times", columns={"n": 1}, at=TimestampNanos(1))
            rows.row("times", columns={"n": 2}, at=datetime(2024, 1, 1, tzinfo=timezone.utc))
            rows.row("times", columns={"n": 3}, at=ServerTimestamp)
        query = "SELECT n, time FROM times WHERE n < 3 ORDER BY n"
        times = ["1970-01-01T00:00:00.000000001", "2024-01-01T00:00:00"]
        self.assertStored(query, [{"n": n + 1, "time": time} for n, time in enumerate(times)])
        self.assertStored("SELECT n FROM times WHERE time > '2025-01-01'", [{"n": 3}])

    def test_arrays_and_decimals(self):
        array = numpy.array([[1.5, float("nan")], [3.25, -4.0]])
        with sender() as rows:
            columns = {"a": array, "d": Decimal("-123.4500"), "n": 1.25}
            rows.row("http_arrays", columns=columns, at=TimestampNanos(1))
        self.assertStored("SELECT a, d, n FROM http_arrays", [{"a": "[[1.5,null],[3.25,-4.0]]", "d": "-123.4500", "n": 1.25}])
        query = "SELECT CAST(d AS DECIMAL(10, 2)) * 2 AS d FROM http_arrays"
        self.assertEqual(float(sql(DEFAULT_DATABASE, query)[0]["d"]), -246.9)

    def test_every_version_of_the_protocol(self):
        for version in (1, 2, 3):
            with sender(f"protocol_version={version};") as rows:
                rows.row(f"http_version_{version}", columns={"n": 0.1}, at=TimestampNanos(1))
            self.assertStored(f"SELECT n FROM http_version_{version}", [{"n": 0.1}])

    def test_rows_flush_by_themselves(self):
        with sender("auto_flush_rows=100;auto_flush_interval=off;") as rows:
            for n in range(250):
                rows.row("flushed", columns={"n": n}, at=TimestampNanos(n + 1))
            self.assertStored("SELECT count(*) AS n FROM flushed", [{"n": 200}])
        self.assertStored("SELECT count(*) AS n, sum(n) AS s FROM flushed", [{"n": 250, "s": 31_125}])

    def test_a_transaction(self):
        with sender("auto_flush=off;") as rows:
            with rows.transaction("transacted") as transaction:
                for n in range(3):
                    transaction.row(symbols={"s": "a"}, columns={"n": n}, at=TimestampNanos(n + 1))
        self.assertStored("SELECT count(*) AS n FROM transacted", [{"n": 3}])

    def test_dataframes(self):
        times = pandas.to_datetime(["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"])
        frame = pandas.DataFrame({"side": ["buy", "sell"], "price": [1.5, None], "n": [1, 2], "at": times})
        frame["side"] = frame["side"].astype("category")
        with sender() as rows:
            rows.dataframe(frame, table_name="frames", at="at")
        self.assertStored(
            "SELECT * FROM frames ORDER BY n",
            [
                {"n": 1, "price": 1.5, "side": "buy", "time": "2024-01-01T00:00:00"},
                {"n": 2, "side": "sell", "time": "2024-01-01T00:00:01"},
            ],
        )

    def test_the_same_rows_again_change_nothing(self):
        for _ in range(2):
            with sender() as rows:
                rows.row("again", symbols={"s": "a"}, columns={"n": 1}, at=TimestampNanos(5))
        self.assertStored("SELECT count(*) AS n FROM again", [{"n": 1}])

    def test_user_and_password(self):
        with sender(credentials=f"username=anyone;password={TOKEN};") as rows:
            rows.row("basic", columns={"n": 1}, at=TimestampNanos(1))
        self.assertStored("SELECT n FROM basic", [{"n": 1}])


class Refusals(TestCase):
    def refused(self, write, credentials=CREDENTIALS, options=""):
        rows = sender("auto_flush=off;retry_timeout=0;" + options, credentials)
        with self.assertRaises(IngressError) as caught, rows:
            write(rows)
        return str(caught.exception)

    def test_a_request_is_stored_as_a_whole_or_not_at_all(self):
        def write(rows):
            rows.row("whole", columns={"n": 1}, at=TimestampNanos(1))
            rows.row("whole", columns={"n": "text"}, at=TimestampNanos(2))

        message = self.refused(write)
        self.assertIn("error in line 2: invalid column type for column 'n'", message)
        self.assertIn("code: invalid", message)
        self.assertFalse(has_table(DEFAULT_DATABASE, "whole"))

    def test_rows_that_cannot_be_stored(self):
        cases = [
            ({"s": "a"}, {}, "a row needs a column besides its symbols"),
            ({"s": "a\nb"}, {"n": 1}, "a symbol can't contain a newline"),
            ({}, {"n": float("inf")}, "an infinite number can't be stored"),
            ({}, {"time": 1}, "'time' is a reserved column"),
        ]
        for symbols, columns, reason in cases:
            message = self.refused(
                lambda rows: rows.row("refused", symbols=symbols, columns=columns, at=TimestampNanos(1))
            )
            self.assertIn(reason, message)

    def test_credentials_are_asked_for(self):
        write = lambda rows: rows.row("secret", columns={"n": 1}, at=TimestampNanos(1))
        for credentials in ["", "token=wrong;", "username=anyone;password=wrong;"]:
            self.assertIn("[code: 401]", self.refused(write, credentials))


if __name__ == "__main__":
    unittest.main()
