"""Every command and block of code of the guide of `influxdb3-python`, and the Python blocks of two other guides.

`NEAP_GUIDES` names the folder with the guides. Blocks are executed in their order, each with a client of its own
database. The arguments of signatures are compared with the library.
"""

import ast
import contextlib
import importlib.metadata
import inspect
import io
import os
import tempfile
import time
import unittest
from unittest import mock

import certifi
import guide_blocks
import influxdb_client_3
from influxdb_client_3 import InfluxDBClient3, InfluxDBError, WriteOptions
from server import TOKEN, URL, TestCase, sql, write_lines

CSV = "measurement,room,temp,hum,co,time\nhome,Kitchen,21.0,35.9,0,2022-01-01T08:00:00Z\n"
JSON = '[{"measurement": "home", "room": "Attic", "temp": 20.5, "hum": 36.5, "co": 1, "time": 1641024000000000000}]'


def now():
    return time.time_ns()


@unittest.skipUnless(guide_blocks.FOLDER, "no guides")
class GuideTest(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)
        for name, text in [("home.csv", CSV), ("home.json", JSON)]:
            with open(name, "w") as file:
                file.write(text)

    def execute(self, code, namespace, name):
        """Executes a block, and returns what it prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        self.assertNotIn("Failed", printed.getvalue(), name)
        return printed.getvalue()


class PythonClient(GuideTest):
    def test_every_block(self):
        blocks = guide_blocks.read("influxdb3-python-client.txt", "py")
        self.assertGreater(len(blocks), 25)
        namespace = {**vars(influxdb_client_3), "influxdb_client_3": influxdb_client_3, "kwargs": {}}
        executed = signatures = 0
        for number, block in enumerate(blocks):
            database, name = f"guide-{number}", f"block {number}:\n{block}"
            # InfluxQL reserves the word that the guide has in place of a table.
            values = {"BUCKET_NAME": database, "API_TOKEN": TOKEN, "FROM measurement": "FROM home"}
            block = guide_blocks.fill(block, URL, values)
            with self.subTest(name):
                if guide_blocks.is_signature(block):
                    self.check_signature(block)
                    signatures += 1
                else:
                    code = guide_blocks.compiled(block.replace("(kwargs)", "(**kwargs)"), f"block {number}")
                    self.run_block(block, code, namespace, database, name)
                    executed += 1
        self.assertGreaterEqual((executed, signatures), (20, 5))

    def run_block(self, block, code, namespace, database, name):
        if "query(" in block:
            write_lines(database, f"home,room=Kitchen temp=21.5,hum=35.9,co=0i {now()}")
        with InfluxDBClient3(host=URL, token=TOKEN, database=database) as client:
            namespace["client"] = client
            printed = self.execute(code, namespace, name)
        if "client.write" in block:
            self.assertGreater(sql(database, "SELECT count(temp) AS n FROM home")[0]["n"], 0)
        if "query(" in block and "print" in block:
            self.assertIn("temp", printed)
        if isinstance(namespace["client"], InfluxDBClient3):
            namespace["client"].close()

    def check_signature(self, block):
        """Compares the signature of a method with the library."""
        head = block.strip().removesuffix(":").removesuffix("-> None")
        [function] = ast.parse(f"def {head}: pass").body
        arguments = {argument.arg for argument in function.args.args} - {"self"}
        owner = WriteOptions if "write_type" in arguments else InfluxDBClient3
        known = inspect.signature(getattr(owner, function.name)).parameters
        self.assertLessEqual(arguments, set(known), function.name)

    def test_the_commands(self):
        commands = guide_blocks.read("influxdb3-python-client.txt", "bash", "sh")
        self.assertEqual([command.split()[:2] for command in commands], [["pip", "install"]])
        [[*_, package]] = [command.split() for command in commands]
        self.assertTrue(importlib.metadata.version(package))

    def test_a_client_with_certificates_queries(self):
        # The last block of the guide sets certificates and does not use the client.
        write_lines("guide-certificates", "m v=1i 1")
        with open(certifi.where(), "rb") as file:
            options = influxdb_client_3.flight_client_options(tls_root_certs=file.read())
        with InfluxDBClient3(
            host=URL, token=TOKEN, database="guide-certificates", flight_client_options=options
        ) as client:
            self.assertEqual(client.query("SELECT v FROM m").to_pylist(), [{"v": 1}])


class OtherGuides(GuideTest):
    def test_queries_of_the_getting_started_guide(self):
        write_lines(
            "servers",
            *(f"cpu,host=h{n},cpu=cpu{n} usage_active={n}.5,time_system={n}.25 {now() + n}" for n in range(3)),
        )
        blocks = guide_blocks.read("influxdb3-enterprise-get-started.txt", "python")
        blocks = [block for block in blocks if "InfluxDBClient3(" in block]
        self.assertEqual(len(blocks), 2)
        variables = {"INFLUXDB3_AUTH_TOKEN": TOKEN}
        for block in blocks:
            code = guide_blocks.fill(block, URL, {"AUTH_TOKEN'": f"{TOKEN}'", "DATABASE_NAME": "servers"})
            code = code.replace(f"INFLUXDB3_{TOKEN}'", "INFLUXDB3_AUTH_TOKEN'")
            with mock.patch.dict(os.environ, variables):
                printed = self.execute(compile(code, "guide", "exec"), {}, block)
        self.assertIn("usage_active", printed)
        self.assertIn("time_system_mean", printed)

    def test_writes_of_the_guide_about_writing(self):
        blocks = guide_blocks.read("influxdb3-write-api-and-clients.txt", "python")
        [block] = [block for block in blocks if "InfluxDBClient3(" in block]
        variables = {"INFLUX_HOST": URL, "INFLUX_TOKEN": TOKEN, "INFLUX_DATABASE": "guide-writes"}
        with mock.patch.dict(os.environ, variables):
            printed = self.execute(guide_blocks.compiled(block, "guide"), {"InfluxDBError": InfluxDBError}, block)
        self.assertIn("Successfully wrote batch", printed)
        self.assertStored("guide-writes", "SELECT room, temp FROM home", [{"room": "Kitchen", "temp": 25.3}])


if __name__ == "__main__":
    unittest.main()
