#!/usr/bin/env python3
"""Starts LocalStack's S3 on 127.0.0.1 and writes its port to a file once it answers.

LocalStack listens on all interfaces whatever GATEWAY_LISTEN says, so the address is forced where sockets
are bound. Ends with its parent's SIGTERM.
"""

import argparse
import os
import pathlib
import runpy
import socket
import threading
import time
import urllib.request


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bind_to_loopback_only() -> None:
    original = socket.socket.bind

    def bind(self, address):
        if isinstance(address, tuple) and address[0] in ("", "0.0.0.0"):
            address = ("127.0.0.1", *address[1:])
        return original(self, address)

    socket.socket.bind = bind


def announce(port: int, port_file: pathlib.Path) -> None:
    """Creates the bucket of the tests, then writes the port."""
    bucket = f"http://127.0.0.1:{port}/neap-tests"
    while True:
        try:
            request = urllib.request.Request(bucket, method="PUT")
            urllib.request.urlopen(request, timeout=5)
            break
        except OSError:
            time.sleep(0.2)
    partial = port_file.with_suffix(".partial")
    partial.write_text(str(port))
    partial.rename(port_file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="directory for its files")
    parser.add_argument("--port-file", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    port = free_port()
    for name in ("data", "tmp"):
        (arguments.dir / name).mkdir(parents=True, exist_ok=True)
    os.environ.update(
        GATEWAY_LISTEN=f"127.0.0.1:{port}",
        SERVICES="s3",
        STRICT_SERVICE_LOADING="1",
        EAGER_SERVICE_LOADING="1",
        SKIP_SSL_CERT_DOWNLOAD="1",
        DISABLE_EVENTS="1",
        DNS_ADDRESS="0",
        FILESYSTEM_ROOT=str(arguments.dir / "data"),
        TMPDIR=str(arguments.dir / "tmp"),
        S3_SKIP_SIGNATURE_VALIDATION="0",
    )
    bind_to_loopback_only()
    threading.Thread(target=announce, args=(port, arguments.port_file), daemon=True).start()
    runpy.run_module("localstack.runtime.main", run_name="__main__")


if __name__ == "__main__":
    main()
