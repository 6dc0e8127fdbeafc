"""Puts to an S3 server with nothing before it: what all writers together can't exceed."""

import datetime
import hashlib
import hmac
import itertools

import http_load

REGION, ACCESS_KEY, SECRET_KEY = "us-east-1", "AKIDTEST", "SKTEST"


def signer(port):
    """A function that makes a signed request of a path and a body (Signature Version 4, the body unsigned)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    names = "host;if-none-match;x-amz-content-sha256;x-amz-date"
    values = (f"host:127.0.0.1:{port}", "if-none-match:*", "x-amz-content-sha256:UNSIGNED-PAYLOAD", f"x-amz-date:{now}")

    def put(path, body):
        canonical = "\n".join(("PUT", path, "", *values, "", names, "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}".encode(), "sha256").hex()
        authorization = (f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, "
                         f"Signature={signature}")
        head = (f"PUT {path} HTTP/1.1", *values, f"authorization:{authorization}", f"content-length:{len(body)}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    return put


def requests(put, prefix, size):
    """New objects of so many bytes, with another key each."""
    body = bytes(size)
    for count in itertools.count():
        yield put(f"/bench/puts/{prefix}-{count}", body)


def ceiling(store, clients, seconds, size):
    """Puts of new objects of a size by so many clients at once."""
    put = signer(store.port)
    generators = [requests(put, f"{clients}-{number}", size) for number in range(clients)]
    seen = http_load.load(store.port, generators, seconds)
    if seen.refusal:
        raise SystemExit(f"the store refused a put: {seen.refusal}")
    return {"puts_per_second": round(seen.done() / seen.elapsed(), 1), "p50_ms": seen.percentile_ms(50)}
