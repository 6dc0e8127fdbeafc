"""The client library of InfluxDB 2, `influxdb-client`: all methods of its asynchronous clients."""

import asyncio
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from influxdb_client.client.delete_api_async import DeleteApiAsync
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.query_api_async import QueryApiAsync
from influxdb_client.client.write_api_async import WriteApiAsync
from influxdb_client_methods import ALWAYS, BUCKET, CONFIGURATION, ORG, QUERY, ApiMethods
from server import TOKEN, URL, write_lines


class AsynchronousMethods(ApiMethods):
    """Calls in an event loop of their own, with a client of their own."""

    def run_with_client(self, work):
        async def run():
            async with InfluxDBClientAsync(url=URL, token=TOKEN, org=ORG) as client:
                return await work(client)

        return asyncio.run(run())


class AsynchronousClients(AsynchronousMethods):
    of = InfluxDBClientAsync

    def assertIsMade(self, name, of):
        async def work(client):
            self.assertIsInstance(getattr(client, name)(), of)

        self.run_with_client(work)

    def call_query_api(self):
        self.assertIsMade("query_api", QueryApiAsync)

    def call_write_api(self):
        self.assertIsMade("write_api", WriteApiAsync)

    def call_delete_api(self):
        self.assertIsMade("delete_api", DeleteApiAsync)

    def call_from_config_file(self):
        async def run(file):
            async with InfluxDBClientAsync.from_config_file(file) as client:
                return await client.ping()

        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "config.ini")
            file.write_text(CONFIGURATION)
            self.assertTrue(asyncio.run(run(str(file))))

    def call_from_env_properties(self):
        async def run():
            async with InfluxDBClientAsync.from_env_properties() as client:
                return await client.ping()

        variables = {"INFLUXDB_V2_URL": URL, "INFLUXDB_V2_ORG": ORG, "INFLUXDB_V2_TOKEN": TOKEN}
        with mock.patch.dict(os.environ, variables):
            self.assertTrue(asyncio.run(run()))

    def call_ping(self):
        self.assertTrue(self.run_with_client(lambda client: client.ping()))

    def call_version(self):
        self.assertRegex(self.run_with_client(lambda client: client.version()), r"^\d+\.\d+\.\d+$")

    def call_build(self):
        self.assertTrue(self.run_with_client(lambda client: client.build()))

    def call_close(self):
        self.run_with_client(lambda client: client.close())


class AsynchronousWrites(AsynchronousMethods):
    of = WriteApiAsync

    def call_write(self):
        record = ["m v=1i 1", {"measurement": "m", "fields": {"v": 2}, "time": 2}]
        self.assertTrue(self.run_with_client(lambda client: client.write_api().write("async-writes", record=record)))
        self.assertEqual(self.stored("async-writes"), [1, 2])


class AsynchronousDeletes(AsynchronousMethods):
    of = DeleteApiAsync

    def call_delete(self):
        write_lines("async-deletes", "m,t=a v=1i 1", "m,t=b v=2i 2")
        predicate = '_measurement="m" AND t="a"'
        delete = lambda client: client.delete_api().delete(*ALWAYS, predicate, bucket="async-deletes")
        self.assertTrue(self.run_with_client(delete))
        self.assertEqual(self.stored("async-deletes"), [2])


class AsynchronousQueries(AsynchronousMethods):
    of = QueryApiAsync

    def setUp(self):
        super().setUp()
        write_lines(BUCKET, "m,t=a v=1i 1", "m,t=b v=2i 2")

    def call_query(self):
        tables = self.run_with_client(lambda client: client.query_api().query(QUERY))
        self.assertEqual(tables.to_values(columns=["t", "_value"]), [["a", 1], ["b", 2]])

    def call_query_data_frame(self):
        frame = self.run_with_client(lambda client: client.query_api().query_data_frame(QUERY))
        self.assertEqual(list(frame["_value"]), [1, 2])

    def call_query_data_frame_stream(self):
        async def work(client):
            return [frame async for frame in await client.query_api().query_data_frame_stream(QUERY)]

        frames = self.run_with_client(work)
        self.assertEqual([value for frame in frames for value in frame["_value"]], [1, 2])

    def call_query_raw(self):
        self.assertIn(",1,v,m,a\r\n", self.run_with_client(lambda client: client.query_api().query_raw(QUERY)))

    def call_query_stream(self):
        async def work(client):
            return [record.get_value() async for record in await client.query_api().query_stream(QUERY)]

        self.assertEqual(self.run_with_client(work), [1, 2])


if __name__ == "__main__":
    unittest.main()
