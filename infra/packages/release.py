"""The release that packages are made of: its programs, its metadata, and the folder that receives the packages."""

import dataclasses
import datetime
import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
LICENSES = ("LICENSE-APACHE", "LICENSE-MIT")


@dataclasses.dataclass(frozen=True)
class Release:
    """Everything that the packages have in common."""

    folder: pathlib.Path
    # The program of each architecture, as `uname -m` names it.
    programs: dict[str, pathlib.Path]
    # The module of Python of each architecture.
    modules: dict[str, pathlib.Path]
    # Version of the C library that the programs are linked for.
    glibc: str
    # The folder that will have the files of the release; empty if it is not known.
    url: str
    # Seconds since 1970: the time of all files in packages.
    time: int
    compression_level: int

    @property
    def version(self):
        return manifest("Cargo.toml")["workspace"]["package"]["version"]

    @property
    def license(self):
        return manifest("Cargo.toml")["workspace"]["package"]["license"]

    @property
    def summary(self):
        return manifest("programs/neap/Cargo.toml")["package"]["description"]

    @property
    def timestamp(self):
        return datetime.datetime.fromtimestamp(self.time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(path):
    """A manifest of Cargo, whose path is from the root of the repository."""
    return tomllib.loads((ROOT / path).read_text())


def readme():
    """The page that registries show for a package."""
    return (pathlib.Path(__file__).parent / "README.md").read_text()
