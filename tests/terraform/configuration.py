"""The Terraform of this repository, parsed: every block of every module with its arguments."""

import dataclasses
import functools
import pathlib

import hcl2

ROOT = pathlib.Path(__file__).resolve().parents[2] / "infra" / "terraform"

# What Terraform itself gives every resource, data source and block.
META = {"count", "for_each", "provider", "depends_on", "lifecycle", "connection", "provisioner"}


@dataclasses.dataclass
class Declared:
    """A resource, data source or provider as it is written."""

    file: pathlib.Path
    kind: str
    name: str
    body: dict

    def __str__(self):
        return f"{self.file.relative_to(ROOT)}: {self.kind} {self.name}".rstrip()


def files():
    """All files of Terraform."""
    return sorted(it for it in ROOT.rglob("*.tf") if ".terraform" not in it.parts)


@functools.cache
def parse(file):
    """A file as nested dictionaries; names of blocks and strings are without quotes. All callers share them."""
    with file.open() as text:
        return unquoted(hcl2.load(text))


def unquoted(value):
    """The parser keeps the quotes of strings, so that they are told from expressions."""
    if isinstance(value, dict):
        return {unquoted(key): unquoted(it) for key, it in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [unquoted(it) for it in value]
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def heredoc(text):
    """What stands between the marks of a text of several lines."""
    return text.split("\n", 1)[1].rsplit("\n", 1)[0] if text.startswith("<<") else text


def declared(section):
    """All blocks `resource "kind" "name"` or `data "kind" "name"`."""
    for file in files():
        for block in parse(file).get(section, []):
            for kind, named in block.items():
                for name, body in named.items():
                    yield Declared(file, kind, name, body)


def resources():
    """All resources."""
    return list(declared("resource"))


def data_sources():
    """All data sources."""
    return list(declared("data"))
