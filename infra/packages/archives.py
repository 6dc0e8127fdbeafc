"""Tar archives that are the same whenever and wherever they are made."""

import dataclasses
import gzip
import io
import pathlib
import tarfile

from release import LICENSES, ROOT


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file, a folder or a symbolic link in an archive."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: int = 0
    kind: bytes = tarfile.REGTYPE
    link: str = ""


def folder(path, mode=0o755, owner=0):
    """An entry for a folder."""
    return Entry(path, mode=mode, owner=owner, kind=tarfile.DIRTYPE)


def link(path, target):
    """An entry for a symbolic link."""
    return Entry(path, mode=0o777, kind=tarfile.SYMTYPE, link=target)


def with_folders(entries):
    """The entries and the folders above them, sorted by path."""
    by_path = {entry.path: entry for entry in entries}
    for entry in entries:
        for parent in list(pathlib.PurePosixPath(entry.path).parents)[:-1]:
            by_path.setdefault(str(parent), folder(str(parent)))
    return [by_path[path] for path in sorted(by_path)]


def tar(entries, time):
    """The bytes of an archive with these entries in their order."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for entry in entries:
            header = tarfile.TarInfo(entry.path)
            header.size, header.mode, header.mtime = len(entry.content), entry.mode, time
            header.uid = header.gid = entry.owner
            header.type, header.linkname = entry.kind, entry.link
            file.addfile(header, io.BytesIO(entry.content))
    return output.getvalue()


def compress(content, level):
    """The content in the format of gzip, without a name or a time."""
    return gzip.compress(content, level, mtime=0)


def build(release, architecture):
    """Makes the archive with the program, its manual, completions, licenses and the unit for systemd."""
    name = f"neap-{release.version}-{architecture}-linux"
    sources = [ROOT / path for path in (*LICENSES, "README.md", "infra/systemd/neap.service")]
    entries = [Entry(f"{name}/{path.name}", path.read_bytes()) for path in sources]
    for made in ("man", "completions"):
        entries += [Entry(f"{name}/{made}/{path.name}", path.read_bytes()) for path in (release.folder / made).iterdir()]
    entries.append(Entry(f"{name}/neap", release.programs[architecture].read_bytes(), 0o755))
    archive = tar(with_folders(entries), release.time)
    (release.folder / f"{name}.tar.gz").write_bytes(compress(archive, release.compression_level))
