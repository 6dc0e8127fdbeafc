"""The main job of an installed program: it serves an empty directory, and written rows are in the answer to a query."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import repository

SAMPLE = repository.text("docs/sample.lp")
QUERY = "SELECT count(*) AS rows, max(temperature) AS warmest FROM soil"
SECONDS = 60


def expected_answer():
    lines = SAMPLE.splitlines()
    return f"rows,warmest\n{len(lines)},{max(float(line.split('temperature=')[1].split(',')[0]) for line in lines)}\n"


def environment(**variables):
    """An environment without settings of Neap or of package managers, except where they find certificates and registries."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or "CERT" in name or "SSL" in name}
    return {**kept, **variables}


def wait_for_address(file, server):
    for _ in range(SECONDS * 20):
        if file.exists() and (text := file.read_text().strip()):
            return f"http://{text}"
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the server does not listen; exit code {server.poll()}")


def wait_for_end(url):
    """Waits until no process listens any more."""
    for _ in range(SECONDS * 20):
        try:
            socket.create_connection(url.removeprefix("http://").split(":"), timeout=SECONDS).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    raise AssertionError("the server still listens")


@contextlib.contextmanager
def serve(command, folder, root, env, exit_code):
    """The URL of a server, which ends with the exit code when the process that was started gets SIGTERM."""
    address = folder / "address"
    inside = pathlib.Path("/") / folder.relative_to(root)
    options = ["--data-dir", inside / "data", "--tcp-listener-file-path", inside / "address"]
    call = [*command, "serve", *options, "--http-bind", "127.0.0.1:0", "--without-auth"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(call, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = wait_for_address(address, server)
        yield url
    except BaseException:
        print((folder / "log").read_text())
        raise
    finally:
        server.terminate()
        try:
            code = server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            raise
    if code != exit_code:
        raise AssertionError(f"the server ended with {code}: {(folder / 'log').read_text()}")
    wait_for_end(url)


def call_client(call, env, text=None):
    """The output of a command that must succeed."""
    done = subprocess.run(call, env=env, input=text, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise AssertionError(f"{call[-1]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def run(command, folder, root="/", env=None, exit_code=0):
    """Runs the job with a command that is followed by arguments of `neap`. Returns the seconds to the first answer.

    The folder is empty, and the program sees it without the root that it runs in.
    """
    env = env or environment(HOME=str(folder))
    started_at = time.monotonic()
    with serve(command, folder, root, env, exit_code) as url:
        urllib.request.urlopen(f"{url}/health", timeout=SECONDS).read()
        seconds = time.monotonic() - started_at
        target = ["--host", url, "--database", "garden"]
        call_client([*command, "write", *target, "--file", "-"], env, SAMPLE)
        answer = call_client([*command, "query", *target, "--format", "csv", QUERY], env)
        if answer != expected_answer():
            raise AssertionError(f"{answer!r} instead of {expected_answer()!r}")
    return seconds
