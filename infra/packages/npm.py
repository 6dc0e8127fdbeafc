"""The packages for npm: `neapdb` with the commands, and a package with the program for each platform.

npm installs the package of its own platform, because the others do not fit `os`, `cpu` and `libc`.
"""

import json
import pathlib

import archives
from release import LICENSES, ROOT, readme

# Names of the architectures in Node.js.
CPUS = {"x86_64": "x64", "aarch64": "arm64"}


def package(release, name, files, fields):
    """Makes the archive of a package, named as `npm pack` names it."""
    common = {"version": release.version, "description": release.summary, "license": release.license}
    manifest = json.dumps({"name": name, **common, **fields}, indent=2) + "\n"
    entries = [
        archives.Entry("package/package.json", manifest.encode()),
        archives.Entry("package/README.md", readme().encode()),
        *(archives.Entry(f"package/{file}", (ROOT / file).read_bytes()) for file in LICENSES),
        *(archives.Entry(f"package/{path}", content, 0o755) for path, content in files.items()),
    ]
    target = release.folder / f"{name.lstrip('@').replace('/', '-')}-{release.version}.tgz"
    target.write_bytes(archives.compress(archives.tar(entries, release.time), release.compression_level))


def build(release):
    """Makes all packages."""
    platforms = {f"@neapdb/linux-{CPUS[architecture]}": architecture for architecture in release.programs}
    for name, architecture in platforms.items():
        # Yarn must unpack the package: a program in an archive can't be started.
        fields = {"os": ["linux"], "cpu": [CPUS[architecture]], "libc": ["glibc"], "preferUnplugged": True}
        package(release, name, {"bin/neap": release.programs[architecture].read_bytes()}, fields)
    fields = {
        "bin": {"neap": "launcher.js", "neapdb": "launcher.js"},
        "engines": {"node": ">=18"},
        "optionalDependencies": dict.fromkeys(platforms, release.version),
    }
    package(release, "neapdb", {"launcher.js": (pathlib.Path(__file__).parent / "launcher.js").read_bytes()}, fields)
