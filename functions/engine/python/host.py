"""The plugin host: receives runs from the database and calls the plugin."""

import builtins
import datetime
import fcntl
import io
import math
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback

from neap_host import line_builder, response, rows
from neap_host.cache import Store
from neap_host.frames import Frames, split
from neap_host.local import InfluxDB3Local, STOPPED, failure
from neap_host.plugin import PluginError, Plugins, describe

# The pipes to the database get descriptors from this number on, so that they do not collide with other files.
FIRST_DESCRIPTOR = 200

MAX_PRINTED_LINE = 16 << 10

MAX_TRACEBACK = 32 << 10

# Plugins run at a lower priority than the database.
NICENESS = 5

# This variable is in the environment of all processes that a plugin starts, unless the plugin replaces the environment.
MARKER = b"NEAP_PLUGIN_PROCESS"

# Maximum number of scans for processes of a plugin while processes are found.
ROUNDS = 20

STARTS_A_PROCESS = frozenset(
    ("os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen", "pty.spawn")
)


class Printed(io.TextIOBase):
    """Standard output or standard error of a plugin: sends each line to the log of the plugin."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, host, level, descriptor):
        self._host = host
        self._level = level
        self._descriptor = descriptor
        # The unfinished line.
        self._parts = []
        self._size = 0
        self._lock = threading.RLock()
        self.buffer = io.FileIO(descriptor, "wb", closefd=False)

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            if "\n" in text:
                first, *lines, last = text.split("\n")
                self._send("".join(self._parts) + first)
                for line in lines:
                    self._send(line)
                self._parts, self._size = [last], len(last)
            else:
                self._parts.append(text)
                self._size += len(text)
            if self._size >= MAX_PRINTED_LINE:
                self.end()
        return len(text)

    def end(self):
        """Sends an unfinished last line."""
        with self._lock:
            line = "".join(self._parts)
            self._parts, self._size = [], 0
            if line:
                self._send(line)

    def _send(self, line):
        data = line.encode("utf-8", "replace")
        if self._host.running and os.getpid() == self._host.frames.owner:
            self._host.frames.send(b"l"[0], self._level, data)
        else:
            os.write(self._descriptor, data + b"\n")


class Host:
    def __init__(self, source, sink):
        self.frames = Frames(source, sink)
        self.frames.leave = self.leave
        self.store = Store()
        self.plugins = Plugins()
        self.held = {}
        self.last_held = 0
        # That of the run in progress.
        self.api = None
        self.stopping = False
        self.forked = False
        self.broken = False
        self.marker = MARKER + b"=" + os.environb.get(MARKER, b"")
        self.cpu_seconds = 0
        self.printed = (Printed(self, b"i", 1), Printed(self, b"w", 2))

    @property
    def running(self):
        return self.api is not None

    def ask(self, kind, header, *parts, on_rows=None):
        """Sends a request to the database. Returns the payload of the value in the answer, or None."""
        frames = self.frames
        frames.check_owner()
        with frames.exchange:
            if not self.running:
                raise RuntimeError("influxdb3_local can be used only during a run")
            if self.broken:
                raise RuntimeError("an earlier exchange with the database was interrupted")
            # A signal handler may raise an exception at any point and leave half an answer in the pipe.
            self.broken = True
            frames.send_header(kind[0], header, *parts)
            while True:
                answer, payload = frames.receive()
                if answer == b"T"[0]:
                    on_rows(payload)
                    continue
                self.broken = False
                if answer == b"!"[0]:
                    raise failure(payload)
                return payload if answer == b"V"[0] else None

    def on_interrupt(self, _signal, _frame):
        self.stopping = True
        if self.running and os.getpid() == self.frames.owner:
            raise KeyboardInterrupt(STOPPED)

    def on_audit(self, event, args):
        if not self.forked:
            if event in STARTS_A_PROCESS or event == "import" and args[0] == "multiprocessing":
                self.forked = True
                if os.getpid() == self.frames.owner:
                    self.frames.send(b"F"[0])

    def leave(self, status):
        """Ends this process and the processes that the plugin started, because the database is gone."""
        try:
            if self.forked and os.getpid() == self.frames.owner:
                kill_marked(self.marker)
        finally:
            os._exit(status)

    def watch(self):
        """Ends this process and its group when the database is gone, even while the plugin runs."""
        poll = select.poll()
        poll.register(self.frames.source, 0)
        poll.poll()
        try:
            if self.forked:
                kill_marked(self.marker)
        finally:
            if os.getpgrp() == os.getpid():
                os.killpg(os.getpid(), signal.SIGKILL)
            os._exit(72)

    def prepare(self):
        """Restores global state that an earlier run may have changed."""
        sys.stdout, sys.stderr = self.printed
        builtins.LineBuilder = line_builder.LineBuilder
        if signal.getsignal(signal.SIGINT) != self.on_interrupt:
            signal.signal(signal.SIGINT, self.on_interrupt)

    def end_printed(self):
        for printed in self.printed:
            printed.end()

    def limit_cpu(self):
        if not self.cpu_seconds:
            return
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = math.ceil(time.process_time() + self.cpu_seconds)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))

    def inputs(self):
        """Returns the input of a run after its header: table batches and a body."""
        tables = []
        body = b""
        while True:
            kind, payload = self.frames.receive()
            if kind == b"N"[0]:
                tables.append({"table_name": bytes(payload).decode(), "rows": []})
            elif kind == b"T"[0]:
                tables[-1]["rows"] += rows.table_rows(payload, rows.Skipped)
            elif kind == b"B"[0]:
                body = bytes(payload)
            else:
                return tables, body

    def call(self, run, api):
        tables, body = self.inputs()
        name = run["function"]
        function = self.plugins.function(run["path"], run["version"], name)
        args = run["arguments"]
        if name == "process_writes":
            function(api, tables, args)
        elif name == "process_scheduled_call":
            epoch = datetime.datetime(1970, 1, 1)
            function(api, epoch + datetime.timedelta(seconds=run["time"]), args)
        else:
            try:
                result = function(api, dict(run["query"]), dict(run["headers"]), body, args)
            except MemoryError:
                raise
            except BaseException as error:
                text = f"Python function call failed: {describe(error)}"
                raise PluginError(text) from error
            return response.of(result)
        return None

    def run(self, payload):
        run, _ = split(payload)
        self.cpu_seconds = run["cpu_seconds"]
        self.limit_cpu()
        self.prepare()
        api = InfluxDB3Local(self, run)
        reserve = bytearray(1 << 20)
        self.api = api
        try:
            answer = self.call(run, api)
            if os.getpid() != self.frames.owner:
                # A forked child returned from the plugin's function.
                os._exit(0)
            # A thread of the plugin may still wait for an answer.
            with self.frames.exchange:
                self.end_printed()
                api._end()
                self.api = None
        except BaseException as error:
            if os.getpid() != self.frames.owner:
                os._exit(1)
            del reserve
            with self.frames.exchange:
                self.failed(error)
            return
        header = self.state()
        content = b""
        if answer is not None:
            header["status"], header["headers"], content = answer
        self.frames.send_header(b"O"[0], header, content)

    def state(self):
        return {"last": self.broken}

    def failed(self, error):
        header = self.state()
        try:
            self.end_printed()
            self.api = None
            header["memory"] = isinstance(error, MemoryError)
            header["text"] = text_of(error)
            header["traceback"] = traceback_of(error)
            self.frames.send_failure(b"E"[0], header)
        except MemoryError:
            self.api = None
            forget_frames(error)
            header.update(memory=True, text="MemoryError: ", traceback=None)
            self.frames.send_failure(b"E"[0], header)

    def hand_over(self, payload):
        """Hands the cache over to the next process. Unless forced, it refuses if state would be lost."""
        header, _ = split(payload)
        pickled, complete = self.store.hand_over()
        if header["forced"] or complete and not self.plugins.keeps_state and not self.held:
            self.frames.send(b"X"[0], pickled)
        else:
            self.frames.send(b"."[0])

    def serve(self):
        while True:
            kind, payload = self.frames.receive()
            if kind == b"R"[0]:
                self.run(payload)
            elif kind == b"X"[0]:
                self.hand_over(payload)
            elif kind == b"C"[0]:
                header, pickled = split(payload)
                self.store.take_over(pickled, header["elapsed"])
            if self.broken:
                os._exit(0)


def text_of(error):
    return str(error) if isinstance(error, (PluginError, response.ResponseError)) else describe(error)


def forget_frames(error):
    """Frees the objects that the frames of a traceback hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def traceback_of(error):
    """Returns the traceback from the plugin's first frame on; None if the error is not in the plugin."""
    if isinstance(error, PluginError):
        error = error.__cause__
    if error is None or isinstance(error, response.ResponseError):
        return None
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename.startswith("<neap>"):
        place = place.tb_next
    try:
        lines = traceback.format_exception(type(error), error, place)
        return "".join(lines)[-MAX_TRACEBACK:]
    except MemoryError:
        raise
    except BaseException:
        return None


def kill_marked(marker):
    """Kills all other processes with this variable in their environment, in any group or session."""
    own = str(os.getpid())
    for _ in range(ROUNDS):
        found = False
        for number in os.listdir("/proc"):
            if not number.isdigit() or number == own:
                continue
            try:
                with open(f"/proc/{number}/environ", "rb") as file:
                    if marker in file.read().split(b"\0"):
                        os.kill(int(number), signal.SIGKILL)
                        found = True
            except OSError:
                # The process has ended, or belongs to another user.
                pass
        if not found:
            return


def take_pipes():
    """Moves the pipes away from standard input and output, which belong to the plugin."""
    duplicated = []
    for descriptor in (0, 1):
        try:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
        except OSError:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        duplicated.append(moved)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return duplicated


def limit(kind, value):
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def lower_priority():
    try:
        os.nice(NICENESS)
    except OSError:
        # If this is forbidden, the plugin runs at normal priority.
        pass


def package_folders():
    """Returns the module path without the standard library."""
    library = os.path.dirname(os.__file__)
    own = (library, os.path.join(library, "lib-dynload"))
    return [path for path in sys.path if path not in own and os.path.isdir(path)]


def serve():
    source, sink = take_pipes()
    host = Host(source, sink)
    _, payload = host.frames.receive()
    settings, _ = split(payload)
    lower_priority()
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_DATA, settings["memory_bytes"])
    main = sys.modules["__main__"]
    for name in ("InfluxDBError", "InvalidMeasurementError", "InvalidKeyError", "InvalidLineError", "LineBuilder"):
        # Plugins of InfluxDB find the exceptions in `__main__`.
        kind = getattr(line_builder, name)
        kind.__module__ = "__main__"
        setattr(main, name, kind)
    sys.dont_write_bytecode = True
    sys.argv = ["plugin"]
    host.prepare()
    threading.Thread(target=host.watch, daemon=True).start()
    sys.addaudithook(host.on_audit)
    version = ".".join(map(str, sys.version_info[:3]))
    hello = {"version": version, "executable": sys.executable, "package_folders": package_folders()}
    host.frames.send_header(b"H"[0], hello)
    host.serve()
