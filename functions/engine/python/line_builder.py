"""`LineBuilder`, which plugins find as a builtin, and its exceptions."""


class InfluxDBError(Exception):
    """The base class of all exceptions of LineBuilder."""


class InvalidMeasurementError(InfluxDBError):
    """The name of a measurement is invalid."""


class InvalidKeyError(InfluxDBError):
    """The key of a tag or a field is invalid."""


class InvalidLineError(InfluxDBError):
    """The line is incomplete."""


_FORBIDDEN = ((" ", "spaces"), (",", "commas"), ("=", "equals signs"))


def _escape(text):
    text = text.replace("\\", "\\\\").replace(",", "\\,")
    return text.replace("=", "\\=").replace(" ", "\\ ")


def _check_key(key, kind):
    if not key:
        raise InvalidKeyError(f"{kind} key cannot be empty")
    for character, name in _FORBIDDEN:
        if character in key:
            raise InvalidKeyError(f"{kind} key '{key}' cannot contain {name}")


class LineBuilder:
    """Builds a line of line protocol, tag by tag and field by field. A repeated key replaces the earlier value."""

    def __init__(self, measurement):
        if " " in measurement:
            raise InvalidMeasurementError("Measurement name cannot contain spaces")
        self.measurement = measurement
        self.tags = {}
        self.fields = {}
        self._timestamp_ns = None

    def tag(self, key, value):
        """Adds a tag. The value is converted to a string."""
        _check_key(key, "tag")
        self.tags[key] = str(value)
        return self

    def uint64_field(self, key, value):
        """Adds an unsigned integer."""
        _check_key(key, "field")
        if value < 0:
            raise ValueError(f"uint64 field '{key}' cannot be negative")
        self.fields[key] = f"{value}u"
        return self

    def int64_field(self, key, value):
        """Adds an integer."""
        _check_key(key, "field")
        self.fields[key] = f"{value}i"
        return self

    def float64_field(self, key, value):
        """Adds a float. Whole numbers are written with `.0`."""
        _check_key(key, "field")
        self.fields[key] = f"{int(value)}.0" if value % 1 == 0 else str(value)
        return self

    def string_field(self, key, value):
        """Adds a string."""
        _check_key(key, "field")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        self.fields[key] = f'"{escaped}"'
        return self

    def bool_field(self, key, value):
        """Adds a boolean."""
        _check_key(key, "field")
        self.fields[key] = "t" if value else "f"
        return self

    def time_ns(self, timestamp_ns):
        """Sets the time, in nanoseconds since the Unix epoch."""
        self._timestamp_ns = timestamp_ns
        return self

    def build(self):
        """Returns the line. It must have at least one field."""
        line = self.measurement.replace(",", "\\,").replace(" ", "\\ ")
        for key, value in self.tags.items():
            line += f",{key}={_escape(value)}"
        if not self.fields:
            raise InvalidLineError(f"At least one field is required: {line}")
        fields = [f"{_escape(key)}={value}" for key, value in self.fields.items()]
        line += " " + ",".join(fields)
        if self._timestamp_ns is not None:
            line += f" {self._timestamp_ns}"
        return line
