"""Programs to measure: where they are, and how large."""

import concurrent.futures
import dataclasses
import os
import pathlib
import struct
import zlib

FUNCTIONS = ("query", "write", "compact", "engine")


@dataclasses.dataclass(frozen=True)
class Build:
    """A folder of programs that were built in one way."""

    name: str
    folder: pathlib.Path

    def program(self, function):
        return self.folder / f"neap-lambda-{function}"


def missing(folder, names):
    """Those of the programs that are not in a folder."""
    return [name for name in names if not os.access(folder / name, os.X_OK)]


def is_stripped(path):
    """Whether a 64-bit ELF file of this byte order has no table of symbols; none if it is no such file."""
    with path.open("rb") as data:
        header = data.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return None
        start, = struct.unpack_from("<Q", header, 40)
        size, count = struct.unpack_from("<HH", header, 58)
        data.seek(start)
        sections = data.read(size * count)
    kinds = (struct.unpack_from("<I", sections, at + 4)[0] for at in range(0, len(sections), size))
    return 2 not in kinds


def deflated_bytes(path):
    """What a file takes in a zip file of the best compression, as a release has it, but for its 100 bytes of names."""
    compressor, size = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), 0
    with path.open("rb") as data:
        while part := data.read(1 << 20):
            size += len(compressor.compress(part))
    return size + len(compressor.flush())


def sizes(builds, functions):
    """The sizes of programs by build and function. To compress them takes a while, so all cores do it."""
    paths = {(build.name, function): build.program(function) for build in builds for function in functions}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        zipped = dict(zip(paths, threads.map(deflated_bytes, paths.values())))
    report = {build.name: {} for build in builds}
    for (build, function), path in paths.items():
        report[build][function] = {"bytes": path.stat().st_size, "zip_bytes": zipped[build, function],
                                   "stripped": is_stripped(path)}
    return report
