"""Converts the return value of `process_request` to a response."""

import json


def _headers(value):
    if not isinstance(value, dict):
        raise TypeError(f"'{type(value).__name__}' object is not an instance of 'dict'")
    for part in (*value.keys(), *value.values()):
        _text(part)
    return list(value.items())


def _text(value):
    if not isinstance(value, str):
        raise TypeError(f"'{type(value).__name__}' object is not an instance of 'str'")
    return value


def _with(headers, more):
    """Merges `more` into headers; they replace headers of the same name, ignoring case."""
    replaced = {name.lower() for name, _ in more}
    return [header for header in headers if header[0].lower() not in replaced] + more


def _typed(body, kind):
    return body, [("Content-Type", kind)]


def _plain(value):
    """Returns the body and the headers for a string, a dict or a list; None for other types."""
    if isinstance(value, str):
        return _typed(value, "text/html")
    if isinstance(value, (dict, list)):
        return _typed(json.dumps(value), "application/json")
    return None


def _flask_like(value):
    try:
        return value.__flask_response__() is True
    except Exception:
        return False


def _of_tuple(parts):
    body, headers = _plain(parts[0]) or _typed(str(parts[0]), "text/plain")
    status = 200
    if len(parts) >= 2:
        second = parts[1]
        if isinstance(second, dict):
            headers = _with(headers, _headers(second))
        elif hasattr(second, "__index__"):
            status = second.__index__()
            if not 0 <= status <= 0xFFFF:
                status = 500
    if len(parts) == 3:
        if not isinstance(parts[2], dict):
            raise ResponseError("expected a dictionary in header item")
        headers = _with(headers, _headers(parts[2]))
    return status, headers, body


def _concatenated(items):
    text = []
    for item in items:
        if isinstance(item, str):
            text.append(item)
        elif isinstance(item, bytes):
            try:
                text.append(item.decode())
            except UnicodeDecodeError:
                pass
    return "".join(text)


class ResponseError(Exception):
    """The return value can't be converted to a response."""


def of(value):
    """Returns the status, the headers and the body in bytes."""
    if _flask_like(value):
        status = value.status_code
        if not isinstance(status, int):
            kind = type(status).__name__
            raise TypeError(f"'{kind}' object cannot be interpreted as an integer")
        if not 0 <= status <= 0xFFFF:
            raise OverflowError("out of range integral type conversion attempted")
        # Responses of Flask return bytes, and headers in a class of Flask.
        body, headers = value.get_data(), value.headers
        if not isinstance(body, bytes):
            body = _text(body).encode()
        if hasattr(headers, "items"):
            headers = dict(headers.items())
        return status, _headers(headers), body
    if isinstance(value, tuple) and 1 <= len(value) <= 3:
        status, headers, body = _of_tuple(value)
    else:
        status = 200
        answer = _plain(value)
        if answer is None:
            if not hasattr(value, "__iter__"):
                raise ResponseError("Unsupported return type from Python function")
            answer = _typed(_concatenated(value), "text/html")
        body, headers = answer
    return status, headers, body.encode()
