"""The wheel `neapdb` for Python's package registry: the program as a script, and the module, which has the stable interface
of Python 3.9."""

import base64
import hashlib
import re
import time
import zipfile

from release import LICENSES, ROOT, readme

# uvx and pipx run the command that is named like the package.
COMMAND = b'#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/neap" "$@"\n'


def python_version(version):
    """The version as Python writes it (PEP 440): `0.1.0-rc.1` is `0.1.0rc1`. Installers refuse other files."""
    match = re.fullmatch(r"(\d+\.\d+\.\d+)(?:-(alpha|beta|rc)\.?(\d+))?", version)
    if not match:
        raise ValueError(f"{version} is neither MAJOR.MINOR.PATCH nor one with -alpha.N, -beta.N or -rc.N after it")
    number, stage, count = match.groups()
    return number if stage is None else number + {"alpha": "a", "beta": "b", "rc": "rc"}[stage] + count


def metadata(release):
    """The metadata, whose body is the page that the registry shows."""
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", "neapdb"),
        ("Version", python_version(release.version)),
        ("Summary", release.summary),
        ("License-Expression", release.license),
        *(("License-File", name) for name in LICENSES),
        ("Classifier", "Operating System :: POSIX :: Linux"),
        ("Classifier", "Topic :: Database"),
        ("Requires-Python", ">=3.9"),
        ("Description-Content-Type", "text/markdown"),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + readme()


def record(files, path):
    """The list of all files with their hashes. Installers compare these."""
    lines = []
    for name, content, _ in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{path},,\n"])


def build(release, architecture):
    """Makes the wheel for one architecture."""
    name = f"neapdb-{python_version(release.version)}"
    tag = f"cp39-abi3-manylinux_{release.glibc.replace('.', '_')}_{architecture}"
    info = f"{name}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: neap-release\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files = [
        ("neapdb.abi3.so", release.modules[architecture].read_bytes(), 0o755),
        (f"{name}.data/scripts/neap", release.programs[architecture].read_bytes(), 0o755),
        (f"{name}.data/scripts/neapdb", COMMAND, 0o755),
        *((f"{info}/licenses/{file}", (ROOT / file).read_bytes(), 0o644) for file in LICENSES),
        (f"{info}/METADATA", metadata(release).encode(), 0o644),
        (f"{info}/WHEEL", wheel.encode(), 0o644),
    ]
    files.append((f"{info}/RECORD", record(files, f"{info}/RECORD").encode(), 0o644))
    with zipfile.ZipFile(release.folder / f"{name}-{tag}.whl", "w") as target:
        for path, content, mode in files:
            entry = zipfile.ZipInfo(path, time.gmtime(release.time)[:6])
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content, compresslevel=release.compression_level)
