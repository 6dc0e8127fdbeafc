"""The few messages that no installed library defines, in protobuf's binary encoding."""

import struct


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field, number):
    """A field of type bool, enum, int64 or uint64."""
    return varint(field << 3) + varint(number & 0xFFFF_FFFF_FFFF_FFFF)


def double(field, number):
    return varint(field << 3 | 1) + struct.pack("<d", number)


def chunk(field, value):
    """A field of type string, bytes or message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def any_message(type_name, message):
    """`google.protobuf.Any`."""
    return chunk(1, f"type.googleapis.com/{type_name}") + chunk(2, message)


# Values of `ReadInfo.QueryType`.
SQL, INFLUXQL, FLIGHT_SQL = 1, 2, 3


def query_parameter(name, value):
    """`influxdata.iox.querier.v1.QueryParam`."""
    match value:
        case None:
            encoded = integer(2, 0)
        case bool():
            encoded = integer(3, value)
        case int() if value > 0x7FFF_FFFF_FFFF_FFFF:
            encoded = integer(4, value)
        case int():
            encoded = integer(5, value)
        case float():
            encoded = double(6, value)
        case _:
            encoded = chunk(7, value)
    return chunk(1, name) + encoded


def read_info(database, query="", query_type=0, command=b"", parameters=None):
    """`influxdata.iox.querier.v1.ReadInfo`."""
    message = chunk(1, database)
    if query:
        message += chunk(2, query)
    if query_type:
        message += integer(3, query_type)
    if command:
        message += chunk(4, command)
    for name, value in (parameters or {}).items():
        message += chunk(6, query_parameter(name, value))
    return message


def read_info_any(*args, **more):
    return any_message("influxdata.iox.querier.v1.ReadInfo", read_info(*args, **more))
