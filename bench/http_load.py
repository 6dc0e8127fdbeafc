"""Load on an HTTP server on this machine: clients with a process and a connection each, that send one request after
the other. They do little more than copy bytes, so that most of the machine is left to what is measured."""

import collections
import dataclasses
import multiprocessing
import signal
import socket
import time

TIMEOUT_SECONDS = 60


class Connection:
    """A connection that is kept open, and opened again after a failure."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def ask(self, request):
        """Sends a request as it is. Gives the status and the body of the answer."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(request)
            return self.answer()
        except OSError:
            self.close()
            raise

    def answer(self):
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self.receive()
        head, body = received[:end].lower(), received[end + 4:]
        status = int(head.split(b" ", 2)[1])
        if status == 204:
            return status, body
        _, found, after = head.partition(b"\r\ncontent-length:")
        if not found:
            raise OSError("an answer of unknown length")
        length = int(after.split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self.receive()
        return status, body

    def receive(self):
        part = self.socket.recv(1 << 16)
        if not part:
            raise OSError("the connection was closed")
        return part

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None


@dataclasses.dataclass
class Seen:
    """What a client, or all of them, have seen. Times are in seconds."""

    statuses: collections.Counter
    times: list
    began: float
    ended: float
    cpu: float
    busiest: float
    refusal: str | None

    def done(self):
        return sum(count for status, count in self.statuses.items() if status.startswith("2"))

    def elapsed(self):
        return self.ended - self.began

    def percentile_ms(self, percent):
        times = sorted(self.times)
        return round(times[min(len(times) * percent // 100, len(times) - 1)] * 1e3, 2)


def client(port, requests, ready, seconds, results):
    """Sends the requests of a generator one after the other until the time is over."""
    # Ends as other programs do, not as the parent that has servers to stop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    connection = Connection(port)
    statuses, times, refusal = collections.Counter(), [], None
    ready.wait(TIMEOUT_SECONDS)
    cpu, first = time.process_time(), time.perf_counter()
    began = first
    while began < first + seconds:
        try:
            status, answer = connection.ask(next(requests))
        except OSError as error:
            status, answer = type(error).__name__, str(error).encode()
        ended = time.perf_counter()
        times.append(ended - began)
        statuses[str(status)] += 1
        if not str(status).startswith("2"):
            refusal = refusal or f"{status} {answer[:300]!r}"
        began = ended
    connection.close()
    cpu = time.process_time() - cpu
    results.put(Seen(statuses, times, first, began, cpu, cpu / (began - first), refusal))


def load(port, generators, seconds):
    """A client for each generator of requests, all of them at once."""
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(len(generators)), context.Queue()
    clients = [context.Process(target=client, args=(port, requests, ready, seconds, results), daemon=True)
               for requests in generators]
    for process in clients:
        process.start()
    seen = [results.get(timeout=seconds + 2 * TIMEOUT_SECONDS) for _ in clients]
    for process in clients:
        process.join()
    return Seen(sum((one.statuses for one in seen), collections.Counter()),
                [time for one in seen for time in one.times], min(one.began for one in seen),
                max(one.ended for one in seen), sum(one.cpu for one in seen), max(one.busiest for one in seen),
                next((one.refusal for one in seen if one.refusal), None))
