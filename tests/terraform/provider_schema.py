"""The arguments, blocks and attributes of the AWS provider, read from the bindings that npm has of it.

Terraform learns them from the provider itself, which comes from a registry that is not everywhere within reach.
`@cdktn/provider-aws` is generated from the same schema; each of its files has, for every block, a list of

    name: { value: cdktn.stringToHclTerraform(...), isBlock: false, type: "simple", storageClassType: "string" }

and beside each attribute a comment that says whether it is computed, optional or required. The package is fetched
once, checked against its hash, and what was read of it is kept as JSON.
"""

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tarfile
import tempfile

PACKAGE = "@cdktn/provider-aws"
VERSION = "25.5.0"
# What `npm view @cdktn/provider-aws@25.5.0 dist.integrity` says.
INTEGRITY = "84Ga2PZ4y+UxpOxp3VedlFNax/LFNKrI8Y2NBQ0r/MxvOUpYLZ6FnjE5zowoXUw9nGcrOYgibEBMEg2l6zrqFw=="
# The oldest version of the provider that the configuration asks for is the one whose schema this is.
PROVIDER_VERSION = "6.64.0"

# Changed with this program, so that what an earlier one kept is not used.
CACHE_FORMAT = 1

# The types of plain values, by the names that the bindings have for them, in the notation of Terraform.
PLAIN_TYPES = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "any": "dynamic",
    "stringMap": ["map", "string"],
    "numberMap": ["map", "number"],
    "booleanMap": ["map", "bool"],
    "stringMapMap": ["map", ["map", "string"]],
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "stringListList": ["list", ["list", "string"]],
    "stringMapList": ["list", ["map", "string"]],
}


class Unavailable(Exception):
    """The package can't be had here, for a reason for people."""


@dataclasses.dataclass
class Attribute:
    """A value: `name = …`."""

    type: object
    required: bool
    optional: bool
    computed: bool


@dataclasses.dataclass
class Nested:
    """A block within a block: `name { … }`."""

    block: "Block"
    mode: str
    required: bool
    at_most_one: bool


@dataclasses.dataclass
class Block:
    """What may stand between two braces."""

    attributes: dict
    blocks: dict

    @classmethod
    def from_json(cls, value):
        """The block that `dataclasses.asdict` made `value` of."""
        attributes = {name: Attribute(**it) for name, it in value["attributes"].items()}
        blocks = {
            name: Nested(**{**it, "block": cls.from_json(it["block"])})
            for name, it in value["blocks"].items()
        }
        return cls(attributes, blocks)


FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}\n", re.M | re.S)
ENTRY = re.compile(
    r"^ +(\w+): \{\n"
    r" +value: (.*),\n"
    r" +isBlock: (true|false),\n"
    r' +type: "(\w+)",\n'
    r' +storageClassType: "(\w+)",\n',
    re.M,
)
ATTRIBUTES = re.compile(r"^    synthesizeHclAttributes\(\) \{\n(.*?)^    \}\n", re.M | re.S)
CLASS = re.compile(r"^class (\w+) extends (cdktn\.\w+) \{\n(.*?)^\}\n", re.M | re.S)
FLAGS = re.compile(
    r"^ +// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(.*)\n(.*)\n",
    re.M,
)
GETTER = re.compile(r"this\.get(\w+)Attribute\('(\w+)'\)")
REFERENCE = re.compile(r"new (\w+)\(this, \"(\w+)\"(.*)\);")
GETTER_TYPES = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
}


class Bindings:
    """One file of the package: one kind of resource, data source, or the provider itself."""

    def __init__(self, text):
        self.functions = dict(FUNCTION.findall(text))
        self.classes = {name: body for name, _, body in CLASS.findall(text)}
        kinds = {"cdktn.TerraformResource", "cdktn.TerraformDataSource", "cdktn.TerraformProvider"}
        roots = [(name, body) for name, kind, body in CLASS.findall(text) if kind in kinds]
        if len(roots) != 1:
            raise ValueError(f"{len(roots)} resources in one file")
        self.root = roots[0][1]

    def schema(self):
        """What may stand in the block of the resource."""
        entries = ATTRIBUTES.search(self.root)
        return self._block(entries.group(1) if entries else "", self.root)

    def _block(self, entries, body):
        flags = {
            name: (computed == "true", optional == "true", required == "true")
            for name, computed, optional, required, _, _ in FLAGS.findall(body)
        }
        # Of arguments with plain values the bindings only tell whether they can be left out: then they can be reset.
        resettable = {to_snake(name) for name in re.findall(r"^    reset(\w+)\(\)", body, re.M)}
        attributes, blocks = {}, {}
        for name, value, is_block, shape, storage in ENTRY.findall(entries):
            computed, optional, required = flags.get(name, (False, False, False))
            if name not in flags or not (computed or optional or required):
                optional = plain(name) in {plain(it) for it in resettable}
                required = not optional
            if is_block == "true":
                kind = re.search(r"cdktn\.listMapperHcl\((\w+)ToHclTerraform|(\w+)ToHclTerraform\(", value)
                nested = self._nested(kind.group(1) or kind.group(2))
                one = f'OutputReference(this, "{name}")' in body
                mode = "single" if shape == "struct" else shape
                blocks[name] = Nested(nested, mode, required, one)
            else:
                kind = PLAIN_TYPES[storage]
                if shape == "set":
                    kind = ["set", kind[1]]
                attributes[name] = Attribute(kind, required, optional, computed)
        for name, kind in self._computed(body):
            if name not in attributes and name not in blocks:
                attributes[name] = Attribute(kind, False, False, True)
        return Block(attributes, blocks)

    def _nested(self, function):
        body = self.functions.get(function, "")
        cls = function[0].upper() + function[1:] + "OutputReference"
        return self._block(body, self.classes.get(cls, ""))

    def _computed(self, body):
        """What the provider alone fills in."""
        for name, _, _, _, first, second in FLAGS.findall(body):
            for line in (first, second):
                getter = GETTER.search(line)
                reference = REFERENCE.search(line)
                if getter and getter.group(2) == name:
                    yield name, GETTER_TYPES.get(getter.group(1), "dynamic")
                elif reference and reference.group(2) == name:
                    yield name, self._object(reference.group(1), reference.group(3))
        if "this.getStringAttribute('id')" in body:
            yield "id", "string"

    def _object(self, cls, rest):
        is_list = cls.endswith("List")
        element = cls[: -len("List")] + "OutputReference" if is_list else cls
        members = dict(self._computed(self.classes.get(element, "")))
        members = {name: kind for name, kind in members.items() if name != "id" or len(members) > 1}
        if not is_list:
            return ["object", members]
        return ["set" if "true" in rest else "list", ["object", members]]


def plain(name):
    """A name without what cases and digits make ambiguous."""
    return name.replace("_", "").lower()


def to_snake(name):
    """`MemorySize` as `memory_size`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def cache_directory():
    """Where the package and what was read of it are kept."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    directory = home / "neap" / "terraform"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def fetch():
    """The package as a file, from npm if it is not kept yet."""
    kept = cache_directory() / f"provider-aws-{VERSION}.tgz"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as directory:
            command = ["npm", "pack", "--silent", "--pack-destination", directory, f"{PACKAGE}@{VERSION}"]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=directory)
            except (OSError, subprocess.SubprocessError) as error:
                raise Unavailable(f"npm can't fetch {PACKAGE}@{VERSION}: {error}") from error
            (packed,) = pathlib.Path(directory).glob("*.tgz")
            digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
            if digest != INTEGRITY:
                raise ValueError(f"{PACKAGE}@{VERSION} is not what it was: sha512-{digest}")
            packed.rename(kept)
    return kept


def folder(kind, is_data):
    """The folder in the package that describes a type such as `aws_lambda_function`."""
    name = kind.removeprefix("aws_").replace("_", "-")
    return f"data-aws-{name}" if is_data else name


def load(resources, data_sources):
    """Schemas by name, and the provider's own.

    A type that the package does not have is missing from the answer.
    """
    wanted = {folder(kind, False): ("resources", kind) for kind in resources}
    wanted |= {folder(kind, True): ("data_sources", kind) for kind in data_sources}
    wanted["provider"] = ("provider", "aws")

    kept = cache_directory() / f"schemas-{VERSION}-{CACHE_FORMAT}.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    if missing := wanted.keys() - known.keys():
        with tarfile.open(fetch()) as package:
            for member in package:
                parts = pathlib.PurePosixPath(member.name).parts
                if len(parts) == 4 and parts[1] == "lib" and parts[2] in missing and parts[3] == "index.js":
                    text = package.extractfile(member).read().decode()
                    known[parts[2]] = dataclasses.asdict(Bindings(text).schema())
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(known))
        partial.replace(kept)

    schemas = {"resources": {}, "data_sources": {}, "provider": {}}
    for name, (group, kind) in wanted.items():
        if name in known:
            schemas[group][kind] = Block.from_json(known[name])
    return schemas
