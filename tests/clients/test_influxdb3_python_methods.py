"""The client library of InfluxDB 3, `influxdb3-python`: all methods of its client."""

import asyncio
import os
import pathlib
import tempfile
import unittest
from unittest import mock

import pandas
import polars
from client_methods import MethodsTestCase
from influxdb_client_3 import InfluxDBClient3, InfluxDBError, WriteOptions, WriteType, write_client_options
from influxdb_client_3.exceptions import InfluxDB3ClientQueryError
from server import TOKEN, URL, sql, write_lines

DATABASE = "v3-methods"
QUERY = "SELECT t, v FROM m ORDER BY v"
ROWS = [{"t": "a", "v": 1}, {"t": "b", "v": 2}]
TIMES = pandas.to_datetime([1, 2], utc=True)


class Client(MethodsTestCase):
    library, of, errors = "influxdb3-python", InfluxDBClient3, (InfluxDBError, InfluxDB3ClientQueryError)

    def setUp(self):
        write_lines(DATABASE, "m,t=a v=1i 1", "m,t=b v=2i 2")
        self.client = self.connect(DATABASE)

    def connect(self, database, **options):
        client = InfluxDBClient3(host=URL, token=TOKEN, database=database, **options)
        self.addCleanup(client.close)
        return client

    def call_query(self):
        for mode, rows in [
            ("all", lambda answer: answer.to_pylist()),
            ("pandas", lambda answer: answer.to_dict("records")),
            ("polars", lambda answer: answer.to_dicts()),
            ("reader", lambda answer: answer.read_all().to_pylist()),
        ]:
            self.assertEqual(rows(self.client.query(QUERY, mode=mode)), ROWS, mode)
        chunks = self.client.query(QUERY, mode="chunk")
        self.assertEqual([row for chunk in chunks for row in chunk.data.to_pylist()], ROWS)
        self.assertEqual(self.client.query(QUERY, mode="schema").names, ["t", "v"])
        bound = {"query_parameters": {"t": "b"}, "language": "influxql"}
        [row] = self.client.query("SELECT v FROM m WHERE t = $t", **bound).to_pylist()
        self.assertEqual(row["v"], 2)

    def call_query_async(self):
        self.assertEqual(asyncio.run(self.client.query_async(QUERY)).to_pylist(), ROWS)

    def call_query_dataframe(self):
        self.assertEqual(self.client.query_dataframe(QUERY).to_dict("records"), ROWS)
        self.assertEqual(self.client.query_dataframe(QUERY, frame_type="polars").to_dicts(), ROWS)

    def call_write(self):
        record = {"measurement": "m", "tags": {"t": "b"}, "fields": {"v": 2}, "time": 2}
        self.client.write(["m,t=a v=1i 1", record], database="v3-writes")
        self.assertStored("v3-writes", QUERY, ROWS)

    def call_write_dataframe(self):
        frame = pandas.DataFrame({"t": ["a", "b"], "v": [1, 2], "at": TIMES})
        self.connect("v3-pandas").write_dataframe(frame, "m", "at", tags=["t"])
        self.assertStoredSoon("v3-pandas", QUERY, ROWS)
        self.connect("v3-polars").write_dataframe(polars.from_pandas(frame), "m", "at", tags=["t"])
        self.assertStoredSoon("v3-polars", QUERY, ROWS)

    def call_write_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "rows.csv")
            file.write_text("t,v,time\na,1,1970-01-01T00:00:00.000000001Z\nb,2,1970-01-01T00:00:00.000000002Z\n")
            self.connect("v3-files").write_file(str(file), measurement_name="m", tag_columns=["t"])
        self.assertStoredSoon("v3-files", QUERY, ROWS)

    def batching(self, database):
        """Returns a client that sends nothing before it is flushed or closed."""
        options = WriteOptions(write_type=WriteType.batching, batch_size=1_000, flush_interval=600_000)
        return self.connect(database, write_client_options=write_client_options(write_options=options))

    def call_flush(self):
        client = self.batching("v3-flushes")
        client.write(["m,t=a v=1i 1", "m,t=b v=2i 2"])
        client.flush()
        self.assertEqual(sql("v3-flushes", QUERY), ROWS)

    def call_close(self):
        client = self.batching("v3-closes")
        client.write(["m,t=a v=1i 1", "m,t=b v=2i 2"])
        client.close()
        self.assertEqual(sql("v3-closes", QUERY), ROWS)

    def call_from_env(self):
        variables = {"INFLUX_HOST": URL, "INFLUX_TOKEN": TOKEN, "INFLUX_DATABASE": DATABASE}
        with mock.patch.dict(os.environ, variables), InfluxDBClient3.from_env() as client:
            self.assertEqual(client.query(QUERY).to_pylist(), ROWS)

    def call_get_server_version(self):
        self.assertRegex(self.client.get_server_version(), r"^\d+\.\d+\.\d+")


if __name__ == "__main__":
    unittest.main()
