"""The client library of QuestDB, `questdb`: rows over TCP, with keys.

The server listens on NEAP_QUESTDB_ADDRESS. A client over TCP gets no answer, so the tests wait for the rows.
"""

import json
import os
import time
import unittest
import warnings
from decimal import Decimal

import numpy
import pandas
from server import DEFAULT_DATABASE, JSON, TOKEN, TestCase, has_table, request, sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from questdb.ingress import IngressError, Sender, ServerTimestamp, TimestampMicros, TimestampNanos

ADDRESS = os.environ["NEAP_QUESTDB_ADDRESS"]
PATIENCE = 30

# The key of the examples in QuestDB's documentation, and another one.
PUBLIC = {"x": "fLKYEaoEb9lrn3nkwLDA-M_xnuFOdSt9y0Z7_vWSHLU", "y": "Dt5tbS1dEDMSYfym3fgMv0B99szno-dFc1rYF9t0aac"}
SECRET = "5UjEMuA0Pj5pjK8a-fa24dyIf-Es5mYny3oE_Wmus48"
# The number 1, whose public key is the generator of the curve.
WRONG = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
WRONG_PUBLIC = {"x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}

VERSIONS = [1, 2, 3]


def register_key(name, database=DEFAULT_DATABASE, actions=("write",), public=PUBLIC):
    """Registers the public key under a name, unless the name has one."""
    permissions = [{"resource_type": "db", "resource_names": [database], "actions": list(actions)}]
    body = {"token_name": name, "permissions": permissions, "public_key": public}
    status, _, text = request("POST", "/api/v3/configure/token", json.dumps(body), JSON)
    assert status in (201, 409), f"{status} {text}"


def sender(version=1, options="", name="sensors", secret=SECRET, public=PUBLIC):
    credentials = f"username={name};token={secret};token_x={public['x']};token_y={public['y']};"
    return Sender.from_conf(f"tcp::addr={ADDRESS};protocol_version={version};{credentials}{options}")


class TcpTestCase(TestCase):
    @classmethod
    def setUpClass(cls):
        status, _, _ = request("POST", "/api/v3/configure/database", json.dumps({"db": DEFAULT_DATABASE}), JSON)
        assert status in (200, 409)
        register_key("sensors")

    def wait_for(self, query, rows):
        """Waits until a query has these rows."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status, _, text = request("POST", "/api/v3/query_sql", json.dumps({"db": DEFAULT_DATABASE, "q": query}))
            if status == 200 and json.loads(text) == rows:
                return
            time.sleep(0.05)
        self.assertEqual(sql(DEFAULT_DATABASE, query), rows)


class Rows(TcpTestCase):
    def test_columns_of_all_types_in_every_version(self):
        for version in VERSIONS:
            table = f"tcp types {version}"
            with sender(version) as rows:
                rows.row(
                    table,
                    symbols={"side": "sell", "a b": "x=y,z w"},
                    columns={
                        "price": 2615.54,
                        "newlines": 3.4595538700719e-260,
                        "amount": -3,
                        "open": False,
                        "note": 'a "b" \\ c\nd é',
                        "seen": TimestampMicros(1_700_000_000_000_001),
                        "none": None,
                    },
                    at=TimestampNanos(1_700_000_000_123_456_789),
                )
            self.wait_for(
                f'SELECT * FROM "{table}"',
                [
                    {
                        "a b": "x=y,z w",
                        "amount": -3,
                        "newlines": 3.4595538700719e-260,
                        "note": 'a "b" \\ c\nd é',
                        "open": False,
                        "price": 2615.54,
                        "seen": 1_700_000_000_000_001,
                        "side": "sell",
                        "time": "2023-11-14T22:13:20.123456789",
                    }
                ],
            )

    def test_arrays_and_decimals(self):
        array = numpy.array([[1.5, float("nan")], [3.25, -4.0]])
        with sender(3) as rows:
            for n in range(100):
                columns = {"a": array + n, "d": Decimal("-123.4500"), "n": n}
                rows.row("tcp_arrays", columns=columns, at=TimestampNanos(n + 1))
        self.wait_for("SELECT count(*) AS n, sum(n) AS s FROM tcp_arrays", [{"n": 100, "s": 4950}])
        self.wait_for(
            "SELECT a, d FROM tcp_arrays WHERE n = 7",
            [{"a": "[[8.5,null],[10.25,3.0]]", "d": "-123.4500"}],
        )

    def test_dataframes(self):
        rows = 20_000
        frame = pandas.DataFrame(
            {
                "side": pandas.Categorical(["buy", "sell"] * (rows // 2)),
                "price": numpy.arange(rows) / 4,
                "n": range(rows),
                "at": pandas.date_range("2024-01-01", periods=rows, freq="s", tz="UTC"),
            }
        )
        for version in VERSIONS:
            with sender(version) as writer:
                writer.dataframe(frame, table_name=f"tcp_frames_{version}", at="at")
            self.wait_for(
                f"SELECT count(*) AS n, sum(n) AS s, max(price) AS p FROM tcp_frames_{version}",
                [{"n": rows, "s": rows * (rows - 1) // 2, "p": (rows - 1) / 4}],
            )

    def test_rows_are_stored_at_every_flush(self):
        with sender(2, "auto_flush=off;") as rows:
            for n in range(5):
                at = ServerTimestamp if n == 4 else TimestampNanos(n + 1)
                rows.row("tcp_flushed", columns={"n": n}, at=at)
                rows.flush()
                self.wait_for("SELECT count(*) AS n FROM tcp_flushed", [{"n": n + 1}])

    def test_the_last_row_of_a_point_counts(self):
        with sender(2, "auto_flush_rows=10;") as rows:
            for n in range(1000):
                rows.row("tcp_again", symbols={"s": "a"}, columns={"n": n}, at=TimestampNanos(5))
        self.wait_for("SELECT n FROM tcp_again", [{"n": 999}])


class Refusals(TcpTestCase):
    def send_until_closed(self, rows, write):
        """Sends rows until the connection is closed."""
        with self.assertRaises(IngressError):
            for n in range(PATIENCE * 20):
                write(rows, n)
                rows.flush()
                time.sleep(0.05)

    def test_a_refused_row_closes_the_connection(self):
        def write(rows, n):
            rows.row("tcp_refused", columns={"n": "text" if n > 2 else n}, at=TimestampNanos(n + 1))

        rows = sender(2, "auto_flush=off;")
        rows.establish()
        self.send_until_closed(rows, write)
        rows.close(flush=False)
        self.wait_for("SELECT count(*) AS n FROM tcp_refused", [{"n": 3}])

    def test_wrong_keys_and_permissions(self):
        register_key("reader", actions=("read",))
        cases = [
            sender(2, "auto_flush=off;", secret=WRONG, public=WRONG_PUBLIC),
            sender(2, "auto_flush=off;", name="unknown"),
            sender(2, "auto_flush=off;", name="reader"),
            Sender.from_conf(f"tcp::addr={ADDRESS};protocol_version=2;auto_flush=off;"),
        ]
        for rows in cases:
            rows.establish()
            write = lambda rows, n: rows.row("tcp_secret", columns={"n": n}, at=TimestampNanos(n + 1))
            self.send_until_closed(rows, write)
            rows.close(flush=False)
        self.assertFalse(has_table(DEFAULT_DATABASE, "tcp_secret"))

    def test_a_key_is_no_token(self):
        for token in [SECRET, PUBLIC["x"]]:
            status, _, _ = request("GET", "/ping", headers={"Authorization": f"Bearer {token}"})
            self.assertEqual(status, 401)


if __name__ == "__main__":
    unittest.main()
