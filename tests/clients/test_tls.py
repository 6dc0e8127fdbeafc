"""Queries and writes of all clients of Flight over TLS.

`NEAP_CA_FILE` names the certificate of the server.
"""

import pathlib
import ssl
import unittest

import pyarrow
from adbc_connection import connect as adbc_connect
from flight_connection import Connection, json_ticket
from flightsql import FlightSQLClient
from influxdb_client_3 import InfluxDBClient3, flight_client_options
from pyarrow import flight
from server import CA_FILE, HOST, PORT, TOKEN, URL, TestCase, write_lines

DATABASE = "tls"
QUERY = "SELECT v FROM m"
ROWS = [{"v": 1}]
CERTIFICATE = pathlib.Path(CA_FILE).read_bytes()


def setUpModule():
    write_lines(DATABASE, "m v=1i 1")


class Pyarrow(TestCase):
    def test_queries_and_writes(self):
        with Connection() as connection:
            self.assertEqual(connection.query(DATABASE, QUERY).to_pylist(), ROWS)
            rows = pyarrow.table({"v": [1], "time": pyarrow.array([1], pyarrow.timestamp("ns"))})
            connection.put(flight.FlightDescriptor.for_path("put"), rows, {"database": DATABASE})
            self.assertEqual(connection.query(DATABASE, "SELECT v FROM put").to_pylist(), ROWS)

    def test_a_client_that_does_not_know_the_certificate(self):
        client = flight.FlightClient(f"grpc+tls://{HOST}:{PORT}")
        with self.assertRaises(flight.FlightUnavailableError):
            client.do_get(json_ticket(DATABASE, QUERY))

    def test_a_client_that_does_not_verify(self):
        client = flight.FlightClient(f"grpc+tls://{HOST}:{PORT}", disable_server_verification=True)
        options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKEN}".encode())])
        self.assertEqual(client.do_get(json_ticket(DATABASE, QUERY), options).read_all().to_pylist(), ROWS)

    def test_a_client_without_tls(self):
        client = flight.FlightClient(f"grpc+tcp://{HOST}:{PORT}")
        with self.assertRaises((flight.FlightUnavailableError, flight.FlightTimedOutError)):
            client.do_get(json_ticket(DATABASE, QUERY), flight.FlightCallOptions(timeout=5))


class InfluxDb3Python(TestCase):
    def check(self, **options):
        with InfluxDBClient3(host=URL, token=TOKEN, database=DATABASE, **options) as client:
            client.write("written v=1i 1")
            self.assertEqual(client.query("SELECT v FROM written").to_pylist(), ROWS)
            self.assertTrue(client.get_server_version())

    def test_each_way_to_trust_the_certificate(self):
        self.check(ssl_ca_cert=CA_FILE)
        options = flight_client_options(tls_root_certs=CERTIFICATE)
        self.check(flight_client_options=options, ssl_context=ssl.create_default_context(cafile=CA_FILE))

    def test_without_verification(self):
        self.check(verify_ssl=False)

    def test_a_client_that_does_not_know_the_certificate(self):
        with InfluxDBClient3(host=URL, token=TOKEN, database=DATABASE) as client:
            with self.assertRaises(Exception):
                client.query(QUERY)
            with self.assertRaises(Exception):
                client.write("m v=2i 2")


class FlightSql(TestCase):
    def test_adbc(self):
        with adbc_connect(DATABASE) as connection, connection.cursor() as cursor:
            self.assertEqual(cursor.execute(QUERY).fetchall(), [(1,)])

    def test_dbapi(self):
        client = FlightSQLClient(
            host=HOST, port=int(PORT), token=TOKEN, metadata={"database": DATABASE}, tls_root_certs=CERTIFICATE
        )
        info = client.execute(QUERY)
        self.assertEqual(client.do_get(info.endpoints[0].ticket).read_all().to_pylist(), ROWS)
        client.close()


if __name__ == "__main__":
    unittest.main()
