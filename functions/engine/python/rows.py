"""Builds rows from columns. The database sends a batch of rows as a header that describes the columns, and their values
in binary, one column after the other; see `columns.rs` for the encoder."""

import json

from neap_host.frames import split


class Skipped:
    """A marker: rows get no key for a null."""


def _values(column, data, at):
    kind = column["type"]
    end = at + column["bytes"]
    part = data[at:end]
    if kind == "tag":
        labels = json.loads(bytes(part[: column["labels"]]))
        keys = part[column["labels"] :].cast("i").tolist()
        return [labels[key] for key in keys], end
    if kind == "string":
        return json.loads(bytes(part)), end
    # 'q' is i64, 'Q' u64, 'd' f64, '?' one byte for a bool.
    return part.cast(kind).tolist(), end


def table_rows(payload, null):
    """Returns the rows of a batch. A row has `null` for a null, or lacks the key if `null` is `Skipped`."""
    header, data = split(payload)
    count = header["rows"]
    names = []
    columns = []
    holes = []
    few = []
    at = 0
    for column in header["columns"]:
        name = column["name"]
        places = None
        if "places" in column:
            end = at + 4 * column["places"]
            places = data[at:end].cast("I").tolist()
            at = end
        values, at = _values(column, data, at)
        if places is None:
            pass
        elif column["sparse"]:
            if null is Skipped:
                few.append((name, places, values))
                continue
            full = [null] * count
            for place, value in zip(places, values):
                full[place] = value
            values = full
        elif null is Skipped:
            holes.append((name, places))
        else:
            for place in places:
                values[place] = null
        names.append(name)
        columns.append(values)
    if columns:
        rows = [dict(zip(names, row)) for row in zip(*columns)]
    else:
        rows = [{} for _ in range(count)]
    for name, places in holes:
        for place in places:
            del rows[place][name]
    for name, places, values in few:
        for place, value in zip(places, values):
            rows[place][name] = value
    return rows
