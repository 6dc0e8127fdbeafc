"""`influxdb3_local.cache`.

Values of a trigger's local cache stay in this process unpickled, unless several processes run the trigger. Values of
the global cache, and of a local cache that several processes share, are pickled and stored by the database. A value that
can't be pickled stays in this process, and only this process finds it.
"""

import pickle
import threading
import time

from neap_host.frames import split

CLEANUP_SECONDS = 60

_TOO_LONG = 2.0**64


def check_str(value, name):
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"argument '{name}': '{kind}' object is not an instance of 'str'")
    return value


def check_bool(value, name):
    if value is not True and value is not False:
        kind = type(value).__name__
        raise TypeError(f"argument '{name}': '{kind}' object is not an instance of 'bool'")
    return value


def check_ttl(ttl):
    if ttl is None:
        return None
    if isinstance(ttl, (str, bytes, bytearray)):
        raise TypeError(f"argument 'ttl': must be real number, not {type(ttl).__name__}")
    seconds = float(ttl)
    if seconds < 0:
        raise ValueError("cannot convert float seconds to Duration: value is negative")
    if not seconds < _TOO_LONG:
        raise ValueError("cannot convert float seconds to Duration: value is either too big or NaN")
    return seconds


class Handed:
    """A value that an earlier process of the trigger handed over. It is unpickled on its first use."""

    __slots__ = ("pickled",)

    def __init__(self, pickled):
        self.pickled = pickled


class Store:
    """The local cache of a trigger: values by key, each with its time of expiry."""

    def __init__(self):
        self.entries = {}
        self.lock = threading.RLock()
        self.cleaned = time.monotonic()

    def put(self, key, value, ttl):
        until = None if ttl is None else time.monotonic() + ttl
        with self.lock:
            self.entries[key] = (value, until)

    def get(self, key, default):
        with self.lock:
            entry = self.entries.get(key)
            if entry is None:
                return default
            value, until = entry
            if until is not None and until <= time.monotonic():
                del self.entries[key]
                return default
            if isinstance(value, Handed):
                value = pickle.loads(value.pickled)
                self.entries[key] = (value, until)
            return value

    def delete(self, key):
        with self.lock:
            return self.entries.pop(key, None) is not None

    def clean(self):
        now = time.monotonic()
        if now - self.cleaned < CLEANUP_SECONDS:
            return
        with self.lock:
            self.cleaned = now
            over = [key for key, (_, until) in self.entries.items() if until is not None and until <= now]
            for key in over:
                del self.entries[key]

    def hand_over(self):
        """Returns all pickled entries, and whether all entries could be pickled."""
        now = time.monotonic()
        entries = []
        complete = True
        with self.lock:
            for key, (value, until) in self.entries.items():
                left = None if until is None else until - now
                if left is not None and left <= 0:
                    continue
                try:
                    if not isinstance(value, Handed):
                        value = Handed(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
                    entries.append((key, left, value.pickled))
                except Exception:
                    complete = False
        return pickle.dumps(entries, pickle.HIGHEST_PROTOCOL), complete

    def take_over(self, pickled, elapsed):
        now = time.monotonic()
        with self.lock:
            for key, left, value in pickle.loads(pickled):
                until = None if left is None else now + left - elapsed
                self.entries[key] = (Handed(value), until)


def is_picklable(value):
    """Returns whether the value can be serialized."""
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        raise
    except Exception:
        return False
    return True


class Cache:
    """The cache interface for plugins."""

    def __init__(self, host, store):
        self._host = host
        self._store = store

    def put(self, key, value, ttl=None, use_global=None):
        check_str(key, "key")
        is_global = self._is_global(use_global)
        ttl = check_ttl(ttl)
        if self._store is not None and not is_global:
            self._store.put(key, value, ttl)
            return
        held = self._host.held
        header = {"key": key, "global": is_global, "ttl": ttl}
        try:
            pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except MemoryError:
            raise
        except Exception:
            if is_picklable(value):
                # So the exception is that of a signal handler of the plugin, which expects it to arrive.
                raise
            self._host.last_held += 1
            header["held"] = self._host.last_held
            held[is_global, key] = (self._host.last_held, value)
            pickled = b""
        else:
            held.pop((is_global, key), None)
        self._host.ask(b"P", header, pickled)

    def get(self, key, default=None, use_global=None):
        check_str(key, "key")
        is_global = self._is_global(use_global)
        if self._store is not None and not is_global:
            return self._store.get(key, default)
        answer = self._host.ask(b"G", {"key": key, "global": is_global})
        if answer is None:
            return default
        header, pickled = split(answer)
        if "held" in header:
            number, value = self._host.held.get((is_global, key), (None, None))
            return value if number == header["held"] else default
        return pickle.loads(pickled)

    def delete(self, key, use_global=None):
        check_str(key, "key")
        is_global = self._is_global(use_global)
        if self._store is not None and not is_global:
            return self._store.delete(key)
        self._host.held.pop((is_global, key), None)
        return self._host.ask(b"D", {"key": key, "global": is_global}) is not None

    def _is_global(self, use_global):
        return use_global is not None and check_bool(use_global, "use_global")
