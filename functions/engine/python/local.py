"""`influxdb3_local`, the interface of plugins to the database."""

import threading
from array import array

from neap_host import rows
from neap_host.cache import Cache, check_bool, check_str
from neap_host.frames import split

# Queued lines are sent to the database in chunks of about this many bytes, so that they don't fill the plugin's memory.
QUEUE_BYTES = 256 << 10

STOPPED = "influxdb3 is shutting down; aborting plugin execution"
ENDED = "the run that this influxdb3_local belongs to has ended"


class QueryError(Exception):
    """A query failed."""


QueryError.__module__ = "influxdb3_py_api"


class InfluxDB3Local:
    """The access of one run to the database.

    Plugins keep it in objects that they cache, such as connections, and use it in later runs. It then serves the run in
    progress.
    """

    def __init__(self, host, run):
        self._host = host
        self._database = run["database"]
        self._cache = Cache(host, host.store if run["cache"] == "process" else None)
        self._queue = {}
        self._queued_bytes = 0
        self._queue_lock = threading.Lock()
        self._ended = False
        # Extensions of InfluxDB's interface: the origin of the rows of `process_writes`, and the method of a request.
        self.batch_id = run.get("batch_id")
        self.batch_stamp = run.get("batch_stamp")
        self.method = run.get("method")

    def info(self, *args):
        self._log(b"i", args)

    def warn(self, *args):
        self._log(b"w", args)

    def error(self, *args):
        self._log(b"e", args)

    def write(self, line_builder):
        self.write_to_db(self._database, line_builder)

    def write_to_db(self, db_name, line_builder):
        line = self._line(db_name, line_builder)
        self._in_progress()._queue_line(db_name, line)

    def _queue_line(self, db_name, line):
        with self._queue_lock:
            if self._ended:
                raise RuntimeError(ENDED)
            lines = self._queue.get(db_name)
            if lines is None:
                lines = self._queue[db_name] = []
            lines.append(line)
            self._queued_bytes += len(line)
            if self._queued_bytes >= QUEUE_BYTES:
                self._send_queue()

    def write_sync(self, line_builder, no_sync):
        self.write_sync_to_db(self._database, line_builder, no_sync)

    def write_sync_to_db(self, db_name, line_builder, no_sync):
        check_bool(no_sync, "no_sync")
        line = self._line(db_name, line_builder)
        self._host.ask(b"W", {"database": db_name, "no_sync": no_sync}, line)

    def query(self, query, args=None, database=None):
        self._check()
        check_str(query, "query")
        parameters = []
        if args is not None:
            if not isinstance(args, dict):
                kind = type(args).__name__
                raise TypeError(f"argument 'args': '{kind}' object is not an instance of 'dict'")
            parameters = [(check_str(key, "args"), check_str(value, "args")) for key, value in args.items()]
        if database is None:
            database = self._database
        header = {"database": check_str(database, "database"), "sql": query, "parameters": parameters}
        found = []
        self._host.ask(b"Q", header, on_rows=lambda payload: found.extend(rows.table_rows(payload, None)))
        return found

    @property
    def cache(self):
        self._host.store.clean()
        return self._cache

    def _log(self, level, args):
        self._check()
        text = " ".join([str(arg) for arg in args])
        self._host.frames.send(b"l"[0], level, text.encode())

    def _line(self, db_name, line_builder):
        self._check()
        if check_str(db_name, "db_name") == "_internal":
            raise Exception("Python plugins cannot write to the _internal database")
        line = line_builder.build()
        if not isinstance(line, str):
            raise TypeError(f"'{type(line).__name__}' object is not an instance of 'str'")
        return line.encode()

    def _check(self):
        if self._host.stopping:
            raise KeyboardInterrupt(STOPPED)
        self._in_progress()

    def _in_progress(self):
        """Returns the object of the run in progress. Only dry runs may have another database than earlier runs."""
        run = self._host.api
        if run is None or run._database != self._database:
            raise RuntimeError(ENDED)
        return run

    def _send_queue(self):
        queue, self._queue, self._queued_bytes = self._queue, {}, 0
        for database, lines in queue.items():
            lengths = array("I", map(len, lines)).tobytes()
            header = {"database": database, "lines": len(lines)}
            self._host.frames.send_header(b"L"[0], header, lengths, b"".join(lines))

    def _end(self):
        """Sends the rest of the queue. Threads that outlive the run get an exception until the next run."""
        with self._queue_lock:
            self._ended = True
            self._send_queue()


def failure(payload):
    """Returns the exception for a failure frame of the database."""
    header, _ = split(payload)
    kinds = {"query": QueryError, "value": ValueError, "stopping": KeyboardInterrupt}
    return kinds.get(header["kind"], Exception)(header["text"])
