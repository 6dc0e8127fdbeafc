"""The progress of a long run, the room that it needs, and the cost of servers over several processes."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import time

import settle

MIB = 1 << 20

# Bytes of disk for each row: unflushed and settled files, files that were replaced within the hour of time travel, the
# same rows sorted by DuckDB, a backup and its restore.
ROOM_PER_ROW = 45
ROOM_AT_LEAST = 2 << 30
# Memory for the server, for DuckDB and for the generator.
MEMORY_AT_LEAST = 4 << 30


def needed_disk(rows, line_rows, used=0):
    """Bytes of disk that a run still needs, if it has used some of them already."""
    return max(ROOM_AT_LEAST, (rows + line_rows) * ROOM_PER_ROW + ROOM_AT_LEAST - used)


def lacking(needed, free):
    """What is missing, in words; nothing if everything is there. Both are bytes by the name of the resource."""
    return [f"{name}: {needed[name] / 2**30:.1f} GiB are needed, {free[name] / 2**30:.1f} GiB are free"
            for name in needed if free[name] < needed[name]]


def available_memory(meminfo):
    """The bytes of MemAvailable in the text of /proc/meminfo."""
    return next(int(line.split()[1]) << 10 for line in meminfo.splitlines() if line.startswith("MemAvailable:"))


def used_bytes(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def require_room(folder, rows, line_rows):
    """Ends the program if the disk or the memory is too small."""
    needed = {"disk": needed_disk(rows, line_rows, used_bytes(folder)), "memory": MEMORY_AT_LEAST}
    free = {"disk": shutil.disk_usage(folder).free,
            "memory": available_memory(pathlib.Path("/proc/meminfo").read_text())}
    if missing := lacking(needed, free):
        raise SystemExit("; ".join(missing))


class Progress:
    """What earlier processes of the same run have measured, in a file that is replaced as a whole."""

    def __init__(self, path, options):
        self.path = pathlib.Path(path)
        self.state = json.loads(self.path.read_text()) if self.path.exists() else {"options": options, "parts": {}}
        if self.state["options"] != options:
            raise SystemExit(f"{path} is of a run with {self.state['options']}: continue it, or delete its folder")

    def save(self):
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.state, indent=1))
        partial.rename(self.path)

    def part(self, name, measure):
        """The result of a part: that of an earlier process, or that of `measure`."""
        if name not in self.state["parts"]:
            self.state["parts"][name] = measure()
            self.save()
            print(f"{name}: {self.state['parts'][name]}", flush=True)
        return self.state["parts"][name]

    def load(self, name):
        """The sums of a load that is in progress."""
        return self.state.setdefault("loads", {}).setdefault(name, {"ticks": 0})

    def running(self, server):
        """Remembers the process of a server, which lives on if this program is killed."""
        alive = [one for one in self.state.get("servers", []) if is_running(*one)]
        self.state["servers"] = [*alive, (server.process.pid, server.process.args)]
        self.save()
        return server

    def stop_earlier_servers(self):
        """Stops the servers that a killed run has left."""
        for pid, command in self.state.pop("servers", []):
            if is_running(pid, command):
                os.kill(pid, signal.SIGTERM)
                wait_until(lambda: not is_running(pid, command), 60, f"the end of process {pid} of an earlier run")


def is_running(pid, command):
    """Whether a process has this command, which names the port of a server."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") == "\0".join(command).encode()
    return False


def add_cost(load, cost):
    """Adds the costs of a process to those of earlier ones. Of memory, the maximum counts."""
    for name, value in cost.items():
        if name == "peak_mib":
            load[name] = max(load.get(name, 0), value)
        else:
            load[name] = load.get(name, 0) + value
    return load


class Meter:
    """What a server uses from one reading to the next."""

    def __init__(self, server):
        self.server = server
        self.last = self.reading()

    def reading(self):
        return {"cpu": self.server.cpu_seconds(),
                "put": settle.metric(self.server, "neap_store_bytes_total", operation="put"),
                "client_cpu": sum(os.times()[:2]), "seconds": time.perf_counter()}

    def cost(self):
        now = self.reading()
        used = {name: now[name] - before for name, before in self.last.items()}
        self.last = now
        return {**used, "peak_mib": self.server.peak_kib / 1024}


def write_amplification(load, compactions, settled_bytes):
    """Bytes that were written to the store for each byte that stays."""
    return (load["put"] + sum(one["written"] for one in compactions)) / settled_bytes


def of_parquet(paths):
    """The share of objects that are Parquet files of their own. Sections of one bundle have the same path."""
    objects = set(paths)
    return sum(path.endswith(".parquet") for path in objects) / len(objects) if objects else 0.0


def per_row(seconds, rows):
    """Microseconds for each row."""
    return seconds / rows * 1e6


def wait_until(is_done, limit, what, pause=0.5):
    """Waits until something is done, for at most so many seconds."""
    end = time.monotonic() + limit
    while not is_done():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not done after {limit} s")
        time.sleep(pause)
