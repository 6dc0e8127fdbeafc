"""Messages of Prometheus's remote write and remote read, and blocks of snappy."""

import struct

from protobuf import chunk, double, integer, varint

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]


def compress(message):
    """Returns a block of snappy that consists of literals."""
    block = bytearray(varint(len(message)))
    for start in range(0, len(message), 60):
        part = message[start : start + 60]
        block.append((len(part) - 1) << 2)
        block += part
    return bytes(block)


def decompress(block):
    """Decompresses a block of snappy."""
    length, at = read_varint(block, 0)
    out = bytearray()
    while at < len(block):
        tag = block[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            size = tag >> 2
            if size >= 60:
                bytes_of_size = size - 59
                size = int.from_bytes(block[at : at + bytes_of_size], "little")
                at += bytes_of_size
            out += block[at : at + size + 1]
            at += size + 1
            continue
        if kind == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | block[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            size, offset = (tag >> 2) + 1, int.from_bytes(block[at : at + width], "little")
            at += width
        for _ in range(size):
            out.append(out[-offset])
    assert len(out) == length, f"{len(out)} bytes instead of {length}"
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(message):
    """Yields the fields of a message with their numbers."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        match tag & 7:
            case 0:
                value, at = read_varint(message, at)
            case 1:
                value, at = struct.unpack_from("<d", message, at)[0], at + 8
            case 2:
                size, at = read_varint(message, at)
                value, at = message[at : at + size], at + size
            case 5:
                value, at = struct.unpack_from("<f", message, at)[0], at + 4
            case other:
                raise ValueError(f"wire type {other}")
        yield tag >> 3, value


def signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


def label(name, value):
    return chunk(1, name) + chunk(2, value)


def sample(time_ms, value):
    return double(1, value) + integer(2, time_ms)


def series(labels, samples, extra=b""):
    message = b"".join(chunk(1, label(name, value)) for name, value in labels.items())
    message += b"".join(chunk(2, sample(time, value)) for time, value in samples)
    return message + extra


def write_request(*all_series, metadata=b""):
    """`prometheus.WriteRequest`."""
    return b"".join(chunk(1, one) for one in all_series) + metadata


def metric_metadata(name, kind, help, unit=""):
    return chunk(3, integer(1, kind) + chunk(2, name) + chunk(4, help) + chunk(5, unit))


def write_request_2(all_series):
    """`io.prometheus.write.v2.Request` of pairs of labels and samples."""
    symbols = [""]

    def symbol(text):
        if text not in symbols:
            symbols.append(text)
        return symbols.index(text)

    messages = b""
    for labels, samples in all_series:
        references = b"".join(varint(symbol(text)) for pair in labels.items() for text in pair)
        message = chunk(1, references) + b"".join(chunk(2, sample(time, value)) for time, value in samples)
        messages += chunk(5, message)
    return b"".join(chunk(4, text) for text in symbols) + messages


def histogram(time_ms, count, total, schema=3, spans=((1, 2),), deltas=(1, 0), zero_count=1):
    """An integer histogram as a field of a series of version 1."""

    def zigzag(number):
        return varint(number << 1 if number >= 0 else (-number << 1) - 1)

    message = integer(1, count) + double(3, total) + varint(4 << 3) + zigzag(schema) + double(5, 0.001) + integer(6, zero_count)
    for offset, length in spans:
        message += chunk(11, varint(1 << 3) + zigzag(offset) + integer(2, length))
    message += chunk(12, b"".join(zigzag(delta) for delta in deltas)) + integer(15, time_ms)
    return chunk(4, message)


EQ, NEQ, RE, NRE = range(4)


def query(start_ms, end_ms, *matchers):
    message = integer(1, start_ms) + integer(2, end_ms)
    for kind, name, value in matchers:
        message += chunk(3, integer(1, kind) + chunk(2, name) + chunk(3, value))
    return chunk(1, message)


SAMPLES, CHUNKS = 0, 1


def read_request(*queries, accepted=(SAMPLES,)):
    """`prometheus.ReadRequest`."""
    return b"".join(queries) + chunk(2, b"".join(varint(kind) for kind in accepted))


def _labels(message):
    return {
        dict(fields(value))[1].decode(): dict(fields(value)).get(2, b"").decode()
        for number, value in fields(message)
        if number == 1
    }


def read_response(block):
    """Returns the series of each query in a `prometheus.ReadResponse`: labels, samples, and histograms as bytes."""
    results = []
    for _, result in fields(decompress(block)):
        found = []
        for _, one in fields(result):
            samples = [
                (signed(dict(fields(value)).get(2, 0)), dict(fields(value)).get(1, 0.0))
                for number, value in fields(one)
                if number == 2
            ]
            histograms = [value for number, value in fields(one) if number == 4]
            found.append((_labels(one), samples, histograms))
        results.append(found)
    return results


def _crc32c(data):
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


def read_frames(stream):
    """Returns pairs of the index of a query and a series, from a streamed answer: labels and samples."""
    at, found = 0, []
    while at < len(stream):
        size, at = read_varint(stream, at)
        checksum, message = stream[at : at + 4], stream[at + 4 : at + 4 + size]
        at += 4 + size
        assert int.from_bytes(checksum, "big") == _crc32c(message), "checksum"
        index = dict(fields(message)).get(2, 0)
        for number, value in fields(message):
            if number == 1:
                chunks = [dict(fields(part)) for number, part in fields(value) if number == 2]
                samples = [pair for part in chunks for pair in _xor_samples(part[4])]
                found.append((index, _labels(value), samples))
    return found


class _Bits:
    def __init__(self, data):
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, count):
        self.at += count
        return int(self.bits[self.at - count : self.at] or "0", 2)

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(8)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def difference(self):
        for size in (0, 14, 17, 20):
            if self.take(1) == 0:
                value = self.take(size) if size else 0
                return value - (1 << size) if size and value > 1 << size - 1 else value
        return signed(self.take(64))


def _xor_samples(data):
    """Decodes a chunk of Prometheus."""
    bits, samples = _Bits(data[2:]), []
    time = delta = value = leading = trailing = 0
    for index in range(int.from_bytes(data[:2], "big")):
        if index == 0:
            zigzag = bits.varint()
            time, value = zigzag >> 1 ^ -(zigzag & 1), bits.take(64)
        else:
            delta = bits.varint() if index == 1 else delta + bits.difference()
            time += delta
            if bits.take(1):
                if bits.take(1):
                    leading = bits.take(5)
                    trailing = 64 - leading - (bits.take(6) or 64)
                value ^= bits.take(64 - leading - trailing) << trailing
        samples.append((time, struct.unpack("<d", struct.pack("<Q", value))[0]))
    return samples
