"""A release that is made once for all tests, with the program of this machine and a stand-in for the other architecture."""

import atexit
import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

import repository

if platform.system() != "Linux":
    raise unittest.SkipTest("the programs of a release are for Linux")

VERSION = tomllib.loads(repository.text("Cargo.toml"))["workspace"]["package"]["version"]
HOST = platform.machine()
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}[HOST]
URL = "https://releases.example/neap"


def build(folder, programs, modules):
    """Makes the packages of a release with these programs and modules of architectures, as scripts/release does."""
    glibc = re.search(r"^GLIBC=(\S+)$", repository.text("scripts/release"), re.M)[1]
    options = ["--folder", folder, "--glibc", glibc, "--url", URL, "--compression-level", "1"]
    options += [f"--module={architecture}={module}" for architecture, module in modules.items()]
    named = [f"{architecture}={program}" for architecture, program in programs.items()]
    call = [sys.executable, repository.ROOT / "infra/packages/build.py", *options, *named]
    subprocess.run(call, check=True, timeout=600, env={**os.environ, "SOURCE_DATE_EPOCH": "1750000000"})


def strip(built, target):
    """Copies a file without debug information, where there is a program for it."""
    if shutil.which("strip"):
        subprocess.run(["strip", "-o", target, built], check=True, timeout=60)
    else:
        shutil.copy(built, target)
    return target


@functools.cache
def folder():
    """The files of the release."""
    neap = repository.neap()
    work = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, work)
    dist, stand_in = work / "dist", work / "stand-in"
    stand_in.write_bytes(b"a program for another machine")
    program = strip(neap, work / "neap")
    built = repository.python_module()
    module = strip(built, work / "module") if built.exists() else stand_in
    (dist / "man").mkdir(parents=True)
    (dist / "completions").mkdir()
    subprocess.run(**repository.asked(program, "man", "--output", str(dist / "man")), check=True)
    build(dist, {HOST: program, OTHER: stand_in}, {HOST: module, OTHER: stand_in})
    subprocess.run("sha256sum ./*.* >SHA256SUMS", shell=True, check=True, cwd=dist, timeout=60)
    return dist


def package(pattern):
    """The one file of the release whose name matches."""
    [found] = folder().glob(pattern)
    return found
