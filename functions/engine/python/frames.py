"""The framing protocol between the host and the database: a length, a kind, and a payload.

The length is a little-endian u32 and counts the bytes after it. The kind is one byte. A payload with a header is a u32,
a header in JSON of that length, and bytes.
"""

import json
import os
import select
import signal
import struct
import threading

MAX_FRAME = 1 << 30

# Maximum size in bytes of an atomic write to a pipe.
ATOMIC = select.PIPE_BUF

_length_and_kind = struct.Struct("<IB")
_signals = signal.valid_signals()
_u32 = struct.Struct("<I")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Frames:
    """The two pipes to the database. Threads of a plugin may write concurrently; while a plugin runs, only the holder
    of `exchange` reads."""

    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.owner = os.getpid()
        # Ends the process when a pipe is closed.
        self.leave = os._exit
        self.exchange = threading.RLock()
        self._writing = threading.Lock()

    def check_owner(self):
        if os.getpid() != self.owner:
            raise RuntimeError(
                "influxdb3_local can't be used in a process that the plugin started"
            )

    def send(self, kind, *parts):
        self.check_owner()
        length = 1 + sum(map(len, parts))
        if length >= MAX_FRAME:
            raise ValueError("too large for one message to the database")
        data = b"".join((_length_and_kind.pack(length, kind), *parts))
        with self._writing:
            try:
                self._write(data)
            except OSError:
                # The database is gone, or the plugin closed the pipe.
                self.leave(70)

    def _write(self, data):
        if len(data) <= ATOMIC:
            os.write(self.sink, data)
            return
        # An exception out of a signal handler must not leave half a frame in the pipe.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.sink, rest) :]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def send_header(self, kind, header, *parts):
        text = _encode(header).encode()
        self.send(kind, _u32.pack(len(text)), text, *parts)

    def send_failure(self, kind, header):
        """Like `send_header`, for texts that may not be valid Unicode."""
        text = _encode(header).encode("utf-8", "replace")
        self.send(kind, _u32.pack(len(text)), text)

    def receive(self):
        """Returns the kind and the payload of the next frame. Ends the process if there is none."""
        length = _u32.unpack(self._exactly(4))[0]
        data = self._exactly(length)
        return data[0], memoryview(data)[1:]

    def _exactly(self, count):
        try:
            data = os.read(self.source, count)
            if len(data) == count:
                return data
            buffer = bytearray(data)
            while len(buffer) < count:
                if not data:
                    self.leave(0)
                data = os.read(self.source, min(count - len(buffer), 1 << 20))
                buffer += data
            return buffer
        except OSError:
            self.leave(71)


def split(payload):
    """Splits a payload into its header and its bytes."""
    length = _u32.unpack_from(payload)[0]
    return json.loads(bytes(payload[4 : 4 + length])), payload[4 + length :]
