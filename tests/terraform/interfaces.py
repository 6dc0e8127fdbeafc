"""What the binaries of the functions say of themselves: `neap-lambda-<function> --print-interface`."""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import configuration

REPOSITORY = configuration.ROOT.parents[1]

# The paths of each function, which Terraform reads.
PATHS = configuration.ROOT / "routes.json"

# The paths of the page of the console, which is off by default.
OF_CONSOLE = {"/", "/console/assets/{proxy+}"}


class NotBuilt(Exception):
    """A binary is not there."""


def binaries():
    """Where `cargo build` puts binaries."""
    if given := os.environ.get("NEAP_LAMBDA_BINARIES"):
        return pathlib.Path(given)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target") / "debug"


class Interface:
    """What a function reads, answers, takes and calls."""

    def __init__(self, shown):
        self.options = [set(it["names"]) for it in shown["options"]]
        named = zip(shown["environment"], shown["options"], strict=True)
        self.documented = [{"name": name, **it} for name, it in named]
        self.routes = shown["routes"]
        self.events = shown["events"]
        self.store = {it["prefix"]: set(it["actions"]) for it in shown["store"]}
        self.calls = set(shown["calls"])

    def variables(self):
        """All names of all variables that it reads."""
        return set().union(*self.options)

    def inputs(self):
        """What schedulers may send."""
        return [it["input"] for it in self.events if it["source"] == "schedule"]

    def takes(self, source, **what):
        """Whether it takes such events."""
        return {"source": source, **what} in self.events


def built(name):
    """A binary, or the reason why there is none."""
    binary = binaries() / name
    if not binary.exists():
        if os.environ.get("NEAP_BINARIES_ARE_BUILT"):
            raise FileNotFoundError(f"{name} is not among the binaries that are said to be built")
        raise NotBuilt(f"{name} is not built: cargo build --workspace --bins")
    return binary


def load(function):
    """The interface of a function."""
    binary = built(f"neap-lambda-{function}")
    # Without the variables of whoever runs this: they would be shown as if they were defaults.
    done = subprocess.run([binary, "--print-interface"], env={}, check=True, capture_output=True, timeout=60)
    return Interface(json.loads(done.stdout))


def read_by_server(environment):
    """Which of these variables `neap serve` reads."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [built("neap"), "config", "check"],
            env={"HOME": directory, **environment},
            cwd=directory,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    return set(re.findall(r"# variable (\w+)", done.stdout))


def paths(interfaces):
    """The paths that go to each function with all methods. A path of several functions goes to the first of them."""
    found, elsewhere = {}, set(OF_CONSOLE)
    for name in ("write", "query", "engine"):
        answered = {it.split(" ", 1)[1] for it in interfaces[name].routes}
        found[name] = sorted(answered - elsewhere)
        elsewhere |= answered
    return found


def goes_to(routed, route):
    """The function that gets a request, or None: of several routes, the gateway takes the one that says most."""
    path = route.split(" ", 1)[1]
    return routed.get(route) or routed.get(f"ANY {path}")
