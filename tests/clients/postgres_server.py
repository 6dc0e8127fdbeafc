"""The server under test for clients of PostgreSQL: its address, rows, and queries that several tests share.

The server listens on NEAP_POSTGRES_ADDRESS, with TLS if NEAP_CA_FILE names its certificate. The host of the address is
then that of the certificate.
"""

import datetime
import decimal
import os
import time

from server import CA_FILE, sql, write_lines

HOST, PORT = os.environ["NEAP_POSTGRES_ADDRESS"].rsplit(":", 1)
DATABASE = "home"

# A query that does not end by itself, and the end of its text, which no query for running queries has.
ENDLESS = (
    "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) AS a(value), "
    "generate_series(1, 1000000) AS b(value)"
)
ENDLESS_ENDING = "1000000) AS b(value)"

# An answer of 200 MB.
LARGE_ROWS, LARGE_BYTES = 500_000, 400
LARGE = f"SELECT value, repeat('x', {LARGE_BYTES}) AS text FROM generate_series(1, {LARGE_ROWS}) AS s(value)"
# Maximum bytes by which the memory of the server grows for it.
MAX_GROWTH = 100 << 20

# A row with a value of every type, as text compares and as Python has it.
EVERY_TYPE = "host, v, n, u, note, up, time"
EVERY_VALUE = (
    "a",
    0.5,
    -1,
    decimal.Decimal(18446744073709551615),
    'é "quoted" \\ text',
    True,
    datetime.datetime(2024, 1, 2, 3, 4, 5, 678901),
)


def write_rows():
    """Writes the rows that the tests read. Their own rows have other hosts."""
    note = EVERY_VALUE[4].replace("\\", "\\\\").replace('"', '\\"')
    write_lines(
        DATABASE,
        'cpu,host=a usage=0.5,n=1i,up=true,note="é" 1000000000',
        "cpu,host=b usage=1.5,n=2i 2000000000",
        f'every_type,host=a v=0.5,n=-1i,u=18446744073709551615u,note="{note}",up=true 1704164645678901000',
    )


def wait_until_running(ending=ENDLESS_ENDING):
    """Waits until a query runs whose text ends so."""
    running = f"SELECT count(*) AS n FROM system.queries WHERE running AND query_text LIKE '%{ending}'"
    for _ in range(1_200):
        if sql(DATABASE, running) != [{"n": 0}]:
            return
        time.sleep(0.05)
    raise AssertionError(f"no query runs that ends with {ending}")


class MemoryWatch:
    """Checks that the server holds only a part of a large answer, of which the client has received rows."""

    def __init__(self):
        self.rows, self.before = 0, None

    def receive(self, rows=1):
        """Counts received rows. The growth is that since the first ones."""
        self.rows += rows
        if self.before is None:
            self.before = _server_memory()
        elif self.rows % 1_000 == 0:
            self.check()

    def check(self):
        growth = _server_memory() - self.before
        assert growth < MAX_GROWTH, f"the server has {growth} bytes more after {self.rows} rows"


def _server_memory():
    """Returns the memory of the server in bytes, without file pages."""
    with open(f"/proc/{os.environ['NEAP_SERVER_PID']}/status") as status:
        line = next(line for line in status if line.startswith("RssAnon:"))
    return int(line.split()[1]) << 10


def libpq_options():
    """Returns the options of connections that check the certificate of a server with TLS."""
    return {"sslmode": "verify-full", "sslrootcert": CA_FILE} if CA_FILE else {}
