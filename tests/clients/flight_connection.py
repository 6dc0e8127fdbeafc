"""Connections of `pyarrow.flight` to the server under test."""

import json

from pyarrow import flight
from server import CA_FILE, HOST, PORT, TOKEN, URL

LOCATION = f"{'grpc+tls' if URL.startswith('https:') else 'grpc+tcp'}://{HOST}:{PORT}"

# Maximum duration of a call in seconds.
TIMEOUT = 60

# The metadata of a column that says whether it is a tag, a field or the time.
COLUMN_TYPE = b"iox::column::type"


def column_type(kind):
    """Returns the metadata of a tag, of `timestamp`, or of a field such as `field::float`."""
    return {COLUMN_TYPE: f"iox::column_type::{kind}".encode()}


def json_ticket(database, query, query_type="sql", **more):
    return flight.Ticket(json.dumps({"database": database, "sql_query": query, "query_type": query_type, **more}))


class HeaderRecorder(flight.ClientMiddlewareFactory):
    """Records the headers and trailers of all answers, with lower-case names."""

    def __init__(self):
        super().__init__()
        self.received = {}

    def start_call(self, info):
        return _HeaderRecorderCall(self.received)


class _HeaderRecorderCall(flight.ClientMiddleware):
    def __init__(self, received):
        super().__init__()
        self.received = received

    def received_headers(self, headers):
        for name, values in headers.items():
            self.received[name.lower()] = [value.decode() if isinstance(value, bytes) else value for value in values]


class Connection:
    """A client with a token, and a record of the headers of answers."""

    def __init__(self, token=TOKEN, **options):
        if CA_FILE:
            with open(CA_FILE, "rb") as file:
                options["tls_root_certs"] = file.read()
        self.token = token
        self.recorder = HeaderRecorder()
        self.client = flight.FlightClient(LOCATION, middleware=[self.recorder], **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def call_options(self, headers=None, timeout=TIMEOUT, **more):
        headers = {name: str(value) for name, value in (headers or {}).items()}
        if self.token is not None:
            headers.setdefault("authorization", f"Bearer {self.token}")
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        return flight.FlightCallOptions(headers=pairs, timeout=timeout, **more)

    def get(self, ticket, headers=None, **options):
        """Returns the stream of a ticket."""
        self.recorder.received.clear()
        return self.client.do_get(ticket, self.call_options(headers, **options))

    def query(self, database, query, query_type="sql", headers=None, **more):
        """Returns the answer to a query as a table."""
        return self.get(json_ticket(database, query, query_type, **more), headers).read_all()

    def put(self, descriptor, table, headers=None, batch_rows=None, **options):
        """Sends a table in batches, and returns the metadata of the answers."""
        self.recorder.received.clear()
        writer, reader = self.client.do_put(descriptor, table.schema, self.call_options(headers, **options))
        answers = []
        with writer:
            writer.write_table(table, batch_rows)
            writer.done_writing()
            while (answer := reader.read()) is not None:
                answers.append(answer.to_pybytes())
        return answers
