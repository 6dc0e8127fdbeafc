"""Dashboard queries over a fleet of hosts, for Neap and for DuckDB, and the files that DuckDB reads.

Needs the Python package duckdb in the Python that runs it (tests/clients/requirements.txt).
"""

import collections
import datetime
import pathlib
import time

THREADS = 2
# Rows that DuckDB sorts at once for the sorted file.
SORTED_ROWS = 20_000_000
ROW_GROUP = 122_880

Query = collections.namedtuple("Query", "name neap duckdb")


def naive(ns):
    """A time without a zone, as both engines read it."""
    return datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def dashboard(fleet):
    """The queries over the rows of a fleet."""
    host = f"hostname = '{fleet.host_name(fleet.hosts // 2)}'"
    hour, day = 3_600 * 10**9, 86_400 * 10**9
    middle = fleet.start_ns + (fleet.days // 2) * day

    def one(name, text):
        """A query whose text is the same but for the functions of bins and of times."""
        neap = text.replace("BIN(", "date_bin(").replace("AT '", "TIMESTAMP '")
        return Query(name, neap, text.replace("BIN(", "time_bucket(").replace("AT '", "TIMESTAMP_NS '"))

    def between(begin, end):
        return f"time >= AT '{naive(begin)}' AND time < AT '{naive(end)}'"

    return [
        one("count(*)", "SELECT count(*) AS n FROM cpu"),
        one("min and max of time", "SELECT min(time) AS first, max(time) AS last FROM cpu"),
        one("last hour of one host",
            f"SELECT * FROM cpu WHERE {host} AND {between(max(fleet.start_ns, fleet.end_ns - hour), fleet.end_ns)} "
            "ORDER BY time"),
        one("ten newest rows of a host", f"SELECT * FROM cpu WHERE {host} ORDER BY time DESC LIMIT 10"),
        one("one host, all days by day",
            "SELECT BIN(INTERVAL '1 day', time) AS t, avg(usage_user) AS mean, max(usage_system) AS high FROM cpu "
            f"WHERE {host} GROUP BY t ORDER BY t"),
        one("all hosts, one day by hour",
            "SELECT BIN(INTERVAL '1 hour', time) AS t, hostname, avg(usage_user) AS mean FROM cpu "
            f"WHERE {between(middle, middle + day)} GROUP BY t, hostname ORDER BY t, hostname"),
        one("all hosts, all days by day",
            "SELECT BIN(INTERVAL '1 day', time) AS t, avg(usage_user) AS mean, max(usage_system) AS high FROM cpu "
            "GROUP BY t ORDER BY t"),
        one("mean by region", "SELECT region, avg(usage_user) AS mean FROM cpu GROUP BY region ORDER BY region"),
        one("rare value of a field", "SELECT hostname, time FROM cpu WHERE usage_guest_nice = 101 ORDER BY time"),
        one("distinct hosts", "SELECT DISTINCT hostname FROM cpu ORDER BY hostname"),
        Query("newest value of each host",
              "SELECT hostname, last_value(usage_user ORDER BY time) AS newest FROM cpu GROUP BY hostname "
              "ORDER BY hostname",
              "SELECT hostname, arg_max(usage_user, time) AS newest FROM cpu GROUP BY hostname ORDER BY hostname"),
    ]


def expected_rows(fleet):
    """The number of rows of the answers that depend on the rows of a fleet alone, by the name of the query."""
    return {"count(*)": 1, "min and max of time": 1, "ten newest rows of a host": min(10, fleet.ticks),
            "last hour of one host": min(360, fleet.ticks), "rare value of a field": fleet.rare_rows,
            "one host, all days by day": fleet.days, "all hosts, all days by day": fleet.days,
            "distinct hosts": fleet.hosts, "newest value of each host": fleet.hosts}


class DuckDb:
    """DuckDB over Parquet files in this process."""

    def __init__(self, paths, work):
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {THREADS}; SET temp_directory = '{work}'")
        self.connection.execute(f"CREATE VIEW cpu AS SELECT * FROM {read_parquet(paths)}")

    def run(self, text):
        """The rows of an answer, and the time in milliseconds."""
        began = time.perf_counter()
        rows = self.connection.execute(text).fetchall()
        return rows, (time.perf_counter() - began) * 1e3


def read_parquet(paths):
    names = ", ".join(f"'{path}'" for path in paths)
    return f"read_parquet([{names}], union_by_name = true)"


def host_ranges(fleet, rows):
    """The first and the last host of ranges with up to so many rows, or of one host."""
    step = max(1, rows // fleet.ticks)
    return [(first, min(first + step, fleet.hosts) - 1) for first in range(0, fleet.hosts, step)]


def sorted_file(paths, fleet, work):
    """The rows of files as one file in the order of hosts and times. What an earlier run has sorted is used.

    Ranges of hosts are sorted one after the other, because a sort of all rows would need several times their size.
    """
    path = pathlib.Path(work) / "sorted.parquet"
    if path.exists():
        return path
    connection = DuckDb(paths, work).connection
    parts = []
    for first, last in host_ranges(fleet, SORTED_ROWS):
        part = path.with_name(f"sorted-{first:07}.parquet")
        if not part.exists():
            hosts = f"hostname >= '{fleet.host_name(first)}' AND hostname <= '{fleet.host_name(last)}'"
            copy(connection, f"SELECT * FROM cpu WHERE {hosts} ORDER BY hostname, time", part)
        parts.append(part)
    copy(connection, f"SELECT * FROM {read_parquet(parts)}", path)
    for part in parts:
        part.unlink()
    return path


def copy(connection, query, path):
    """Writes the rows of a query, and gives the file its name when it is complete."""
    partial = path.with_suffix(".partial")
    connection.execute(f"COPY ({query}) TO '{partial}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})")
    partial.rename(path)
