"""The files that packages are made of, and the programs that check them."""

import os
import pathlib
import shutil
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def text(path):
    """The text of a file, whose path is from the root of the repository."""
    return (ROOT / path).read_text()


def program(name):
    """The path of a program of this machine; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        raise unittest.SkipTest(f"there is no {name}")
    return found


def neap():
    """The program that `cargo build --package neap` has made; skips the test if it has not."""
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug"
    if (folder / "neap").exists():
        return folder / "neap"
    if os.environ.get("NEAP_BINARIES_ARE_BUILT"):
        raise FileNotFoundError("neap is not among the binaries that are said to be built")
    raise unittest.SkipTest("neap is not built: cargo build --workspace --bins")


def asked(program, *arguments):
    """How a program is called that reads no configuration of this machine or user."""
    return {"args": [str(program), *arguments], "env": {"PATH": os.environ["PATH"]}, "timeout": 60}
