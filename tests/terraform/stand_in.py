"""A stand-in for the AWS provider, so that `terraform` itself can check and apply a configuration without an account.

It knows the schemas of `provider_schema` and nothing of AWS: what is created gets names of the right form, and
everything that was given comes back. So `terraform validate` finds misspelt arguments, missing ones and references to
what is not there, and `terraform apply` shows what becomes of every expression.

The protocol is Terraform's plugin protocol, version 5: gRPC with values in MessagePack. `TF_REATTACH_PROVIDERS` tells
Terraform where the stand-in listens.
"""

import concurrent.futures
import contextlib
import itertools
import json
import os

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ADDRESS = "registry.terraform.io/hashicorp/aws"
ACCOUNT = "123456789012"
REGION = "eu-central-1"

# What is to be worked out by the provider, in MessagePack.
UNKNOWN = msgpack.ExtType(0, b"\0")

SCALARS = {"string": 9, "bytes": 12, "bool": 8, "int64": 3, "enum": 5}

# The messages of the protocol, as far as they are used: the number, name and type of each field. A `*` stands for
# `repeated`, and `map:` for a map from strings.
MESSAGES = {
    "DynamicValue": "1 msgpack bytes",
    "Diagnostic": "1 severity enum, 2 summary string, 3 detail string",
    "Attribute": "1 name string, 2 type bytes, 4 required bool, 5 optional bool, 6 computed bool",
    "NestedBlock": "1 type_name string, 2 block Block, 3 nesting enum, 4 min_items int64, 5 max_items int64",
    "Block": "1 version int64, 2 attributes *Attribute, 3 block_types *NestedBlock",
    "Schema": "1 version int64, 2 block Block",
    "Empty": "",
    "RawState": "1 json bytes",
    "SchemaResponse": "1 provider Schema, 2 resource_schemas map:Schema, 3 data_source_schemas map:Schema",
    "PrepareRequest": "1 config DynamicValue",
    "PrepareResponse": "1 prepared_config DynamicValue, 2 diagnostics *Diagnostic",
    "ValidateRequest": "1 type_name string, 2 config DynamicValue",
    "Diagnostics": "1 diagnostics *Diagnostic",
    "ConfigureRequest": "1 terraform_version string, 2 config DynamicValue",
    "UpgradeRequest": "1 type_name string, 2 version int64, 3 raw_state RawState",
    "UpgradeResponse": "1 upgraded_state DynamicValue, 2 diagnostics *Diagnostic",
    "ReadRequest": "1 type_name string, 2 current_state DynamicValue",
    "ReadResponse": "1 new_state DynamicValue, 2 diagnostics *Diagnostic",
    "PlanRequest": "1 type_name string, 2 prior_state DynamicValue, 3 proposed_new_state DynamicValue",
    "PlanResponse": "1 planned_state DynamicValue, 4 diagnostics *Diagnostic, 5 legacy_type_system bool",
    "ApplyRequest": "1 type_name string, 2 prior_state DynamicValue, 3 planned_state DynamicValue",
    "ApplyResponse": "1 new_state DynamicValue, 3 diagnostics *Diagnostic, 4 legacy_type_system bool",
    "DataRequest": "1 type_name string, 2 config DynamicValue",
    "DataResponse": "1 state DynamicValue, 2 diagnostics *Diagnostic",
}


def messages():
    """A class for each of the messages."""
    file = descriptor_pb2.FileDescriptorProto(name="plugin.proto", package="plugin", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            number, field_name, kind = field.split()
            added = message.field.add(name=field_name, number=int(number), label=1)
            if kind.startswith("map:"):
                entry_name = field_name.title().replace("_", "") + "Entry"
                entry = message.nested_type.add(name=entry_name)
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=SCALARS["string"])
                value = f".plugin.{kind.removeprefix('map:')}"
                entry.field.add(name="value", number=2, label=1, type=11, type_name=value)
                added.label, added.type, added.type_name = 3, 11, f".plugin.{name}.{entry_name}"
                continue
            if kind.startswith("*"):
                added.label, kind = 3, kind.removeprefix("*")
            if kind in SCALARS:
                added.type = SCALARS[kind]
            else:
                added.type, added.type_name = 11, f".plugin.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptors = {name: pool.FindMessageTypeByName(f"plugin.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(it) for name, it in descriptors.items()}


M = messages()

NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}

# What is called for which message, and what is answered.
CALLS = {
    "GetSchema": ("Empty", "SchemaResponse"),
    "PrepareProviderConfig": ("PrepareRequest", "PrepareResponse"),
    "ValidateResourceTypeConfig": ("ValidateRequest", "Diagnostics"),
    "ValidateDataSourceConfig": ("ValidateRequest", "Diagnostics"),
    "Configure": ("ConfigureRequest", "Diagnostics"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeResponse"),
    "ReadResource": ("ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ReadDataSource": ("DataRequest", "DataResponse"),
    "Stop": ("Empty", "Empty"),
}

# What data sources answer.
DATA = {
    "aws_caller_identity": {"account_id": ACCOUNT},
    "aws_region": {"region": REGION, "name": REGION},
    "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
    "aws_availability_zones": {
        "names": [f"{REGION}{letter}" for letter in "abc"],
        "zone_ids": [f"euc1-az{number}" for number in (2, 3, 1)],
    },
}


def pack(value):
    """A value of the protocol."""
    return M["DynamicValue"](msgpack=msgpack.packb(value, default=float))


def unpack(value):
    """What a value of the protocol holds."""
    if not value.msgpack:
        return None
    return msgpack.unpackb(value.msgpack, strict_map_key=False)


def schema_message(block, is_data=False):
    """A schema as Terraform asks for it."""
    return M["Schema"](block=block_message(block, is_data))


def block_message(block, is_data=False):
    attributes = [
        M["Attribute"](
            name=name,
            type=json.dumps(it.type).encode(),
            required=it.required,
            # The bindings don't tell which optional arguments the provider fills in when they are left out.
            optional=it.optional,
            computed=it.computed or it.optional,
        )
        for name, it in block.attributes.items()
    ]
    nested = [
        M["NestedBlock"](
            type_name=name,
            block=block_message(it.block, is_data),
            nesting=NESTING[it.mode],
            min_items=int(it.required and it.mode in ("list", "set")),
            max_items=int(it.at_most_one and it.mode in ("list", "set")),
        )
        for name, it in block.blocks.items()
    ]
    return M["Block"](attributes=attributes, block_types=nested)


def map_blocks(block, value, change):
    """A value of a block, with `change` applied to it and to all blocks in it."""
    if value is None or isinstance(value, msgpack.ExtType):
        return value
    value = change(block, dict(value))
    for name, nested in block.blocks.items():
        inner = value.get(name)
        if isinstance(inner, list):
            value[name] = [map_blocks(nested.block, it, change) for it in inner]
        elif isinstance(inner, dict) and nested.mode == "single":
            value[name] = map_blocks(nested.block, inner, change)
    return value


def with_unknowns(block, value):
    """What is computed is not known before it is there."""
    for name, attribute in block.attributes.items():
        # The id can be given, by the schema, and never is.
        only_computed = attribute.computed and not attribute.optional or name == "id"
        if only_computed and value.get(name) is None:
            value[name] = UNKNOWN
    return value


class Inventor:
    """Gives a new resource what AWS would have given it."""

    def __init__(self, kind, value, serial):
        self.kind = kind
        service, _, rest = kind.removeprefix("aws_").partition("_")
        given = [value.get(key) for key in ("function_name", "bucket", "name", "identifier", "domain_name")]
        nameless = f"{rest.replace('_', '-') or service}-{serial}"
        self.name = next((it for it in given if isinstance(it, str)), nameless)
        if kind == "aws_lambda_alias":
            self.name = f"{value['function_name']}:{value['name']}"
        self.service = service

    def fill(self, block, value):
        for name, attribute in block.attributes.items():
            if value.get(name) == UNKNOWN:
                value[name] = self.name if name == "id" else self.invent(name, attribute.type)
        return value

    def invent(self, name, kind):
        """A value of a type."""
        if kind == "number":
            return 1
        if kind == "bool":
            return False
        if isinstance(kind, list):
            return self.invent_many(kind)
        if name == "arn" and self.kind == "aws_s3_bucket":
            return f"arn:aws:s3:::{self.name}"
        if name == "arn" and self.kind == "aws_iam_role":
            return f"arn:aws:iam::{ACCOUNT}:role/{self.name}"
        if name == "arn" and self.kind == "aws_sqs_queue":
            return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"
        if name == "arn_suffix":
            return f"{self.kind}/{self.name}"
        if name.endswith("arn"):
            return f"arn:aws:{self.service}:{REGION}:{ACCOUNT}:{self.name}"
        if name.endswith("url"):
            return f"https://{self.service}.{REGION}.amazonaws.com/{ACCOUNT}/{self.name}"
        return f"{self.name}-{name.replace('_', '-')}"

    def invent_many(self, kind):
        shape, inner = kind
        if shape == "object":
            return {name: self.invent(name, it) for name, it in inner.items()}
        if shape == "map":
            return {}
        return [self.invent("item", inner)] if inner != "string" else []


class Provider:
    """What the protocol's calls do."""

    def __init__(self, schemas):
        self.schemas = schemas
        self.serials = itertools.count(1)

    def GetSchema(self, _):
        resources, data = self.schemas["resources"], self.schemas["data_sources"]
        return M["SchemaResponse"](
            provider=schema_message(self.schemas["provider"]["aws"]),
            resource_schemas={name: schema_message(it) for name, it in resources.items()},
            data_source_schemas={name: schema_message(it, True) for name, it in data.items()},
        )

    def PrepareProviderConfig(self, request):
        return M["PrepareResponse"](prepared_config=request.config)

    def ValidateResourceTypeConfig(self, _):
        return M["Diagnostics"]()

    def ValidateDataSourceConfig(self, _):
        return M["Diagnostics"]()

    def Configure(self, _):
        return M["Diagnostics"]()

    def UpgradeResourceState(self, request):
        return M["UpgradeResponse"](upgraded_state=pack(json.loads(request.raw_state.json)))

    def ReadResource(self, request):
        return M["ReadResponse"](new_state=request.current_state)

    def PlanResourceChange(self, request):
        proposed = unpack(request.proposed_new_state)
        if proposed is not None and unpack(request.prior_state) is None:
            block = self.schemas["resources"][request.type_name]
            proposed = map_blocks(block, proposed, with_unknowns)
        return M["PlanResponse"](planned_state=pack(proposed), legacy_type_system=True)

    def ApplyResourceChange(self, request):
        planned = unpack(request.planned_state)
        if planned is not None:
            inventor = Inventor(request.type_name, planned, next(self.serials))
            block = self.schemas["resources"][request.type_name]
            planned = map_blocks(block, planned, inventor.fill)
        return M["ApplyResponse"](new_state=pack(planned), legacy_type_system=True)

    def ReadDataSource(self, request):
        state = unpack(request.config) | DATA.get(request.type_name, {})
        block = self.schemas["data_sources"][request.type_name]
        state = map_blocks(block, state, with_unknowns)
        state = map_blocks(block, state, Inventor(request.type_name, state, next(self.serials)).fill)
        return M["DataResponse"](state=pack(state))

    def Stop(self, _):
        return M["Empty"]()


def handler(provider):
    """The calls as a service of gRPC."""

    def method(name):
        request, answer = CALLS[name]
        function = getattr(provider, name)
        return grpc.unary_unary_rpc_method_handler(
            lambda message, _: function(message),
            request_deserializer=M[request].FromString,
            response_serializer=M[answer].SerializeToString,
        )

    return grpc.method_handlers_generic_handler("tfplugin5.Provider", {name: method(name) for name in CALLS})


@contextlib.contextmanager
def serving(schemas, directory):
    """Serves while it is entered; gives the variables of the environment that `terraform` needs to find it."""
    socket = os.path.join(directory, "provider.sock")
    limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=limits)
    server.add_generic_rpc_handlers((handler(Provider(schemas)),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    attachment = {
        "Protocol": "grpc",
        "ProtocolVersion": 5,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": {"Network": "unix", "String": socket},
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({ADDRESS: attachment})}
    finally:
        server.stop(grace=0).wait(5)
