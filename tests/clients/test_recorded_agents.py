"""The requests of agents in `tests/recordings`: sends them, and compares the rows that are stored.

HTTP and TCP are sent byte for byte, gRPC with the library `grpcio`. The server listens for QuestDB's protocol, without
keys, on NEAP_QUESTDB_ADDRESS.
"""

import base64
import gzip
import http.client
import json
import os
import pathlib
import socket
import time
import unittest

import grpc
from server import DEFAULT_DATABASE, HOST, JSON, PORT, TOKEN, TestCase, create_database, request, sql

RECORDINGS = pathlib.Path(__file__).parents[1] / "recordings"
QUESTDB_HOST, QUESTDB_PORT = os.environ["NEAP_QUESTDB_ADDRESS"].split(":")
LIMIT = 60
VALUES = {
    "address": f"{HOST}:{PORT}",
    "basic": base64.b64encode(f"agent:{TOKEN}".encode()).decode(),
    "default": DEFAULT_DATABASE,
    "token": TOKEN,
}


def fill(text, **values):
    for name, value in {**VALUES, **values}.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def in_chunks(body):
    """A body as Go sends it if it does not know its length."""
    pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def send_http(sent, body):
    """Sends a head and a body, and returns the status and the body of the answer."""
    body = gzip.compress(body, mtime=0) if sent["gzip"] else body
    head = [fill(line, length=len(body)) for line in sent["head"]]
    if "Transfer-Encoding: chunked" in head:
        body = in_chunks(body)
    with socket.create_connection((HOST, PORT), timeout=LIMIT) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        answer = http.client.HTTPResponse(connection, method=head[0].split()[0])
        answer.begin()
        return answer.status, answer.read()


def send_grpc(sent, body):
    """Calls a method with the bytes of a message. Raises the status of a call that fails."""
    options = [("grpc.primary_user_agent", sent["user_agent"])]
    with grpc.insecure_channel(f"{HOST}:{PORT}", options) as channel:
        metadata = [(name, fill(value)) for name, value in sent["metadata"].items()]
        compression = grpc.Compression.Gzip if sent["gzip"] else grpc.Compression.NoCompression
        method = channel.unary_unary(sent["grpc"])
        return method(body, timeout=LIMIT, metadata=metadata, compression=compression)


def send_tcp(body):
    """Sends each line by itself. There is no answer."""
    with socket.create_connection((QUESTDB_HOST, QUESTDB_PORT), timeout=LIMIT) as connection:
        for line in body.splitlines(keepends=True):
            connection.sendall(line)


def wait_for_rows(database, query):
    """Returns the rows of a query as soon as there are some. A client over TCP gets no answer."""
    end = time.monotonic() + LIMIT
    while True:
        status, _, text = request("POST", "/api/v3/query_sql", json.dumps({"db": database, "q": query}), JSON)
        # A query of a table that does not exist yet is refused.
        rows = json.loads(text) if status == 200 else []
        if rows or time.monotonic() > end:
            return rows
        time.sleep(0.1)


class RecordedAgents(TestCase):
    maxDiff = None

    def replay(self, name):
        path = RECORDINGS / name
        exchange = json.loads(path.read_text())
        for sent in exchange["requests"]:
            body = (path.parent / sent["body"]).read_bytes()
            if "tcp" in sent:
                create_database(DEFAULT_DATABASE)
                send_tcp(body)
            elif "grpc" in sent:
                self.assertEqual(send_grpc(sent, body), b"", sent["grpc"])
            else:
                status, answer = send_http(sent, body)
                self.assertEqual((status, answer), (sent["status"], sent.get("answer", "").encode()), sent["head"][0])
        for check in exchange["stored"]:
            if "databases" in check:
                one, other = (sql(database, check["query"]) for database in check["databases"])
                self.assertTrue(one)
                self.assertEqual(one, other, check)
            else:
                self.assertEqual(wait_for_rows(fill(check["database"]), check["query"]), check["rows"], check["query"])

    def test_telegraf_exports_opentelemetry(self):
        self.replay("telegraf/outputs_opentelemetry.json")

    def test_telegraf_writes_to_the_remote_storage_of_prometheus(self):
        self.replay("telegraf/outputs_http.json")

    def test_telegraf_writes_to_a_socket(self):
        self.replay("telegraf/outputs_socket_writer.json")

    def test_the_collector_exports_opentelemetry(self):
        self.replay("otelcol/otlp.json")

    def test_the_collector_exports_to_influxdb(self):
        self.replay("otelcol/influxdb.json")

    def test_the_collector_writes_to_the_remote_storage_of_prometheus(self):
        self.replay("otelcol/prometheusremotewrite.json")


if __name__ == "__main__":
    unittest.main()
