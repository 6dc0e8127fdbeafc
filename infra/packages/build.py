#!/usr/bin/env python3
"""Makes the packages of a release from its programs, for scripts/release. The folder has `man` and `completions`."""

import argparse
import os
import pathlib
import subprocess
import sys

import archives
import homebrew
import npm
import oci
import wheel
from release import ROOT, Release


def install_script(release):
    """Copies the install script with the URL of the release."""
    text = (ROOT / "infra/install.sh").read_text()
    target = release.folder / "install.sh"
    target.write_text(text.replace('DEFAULT_URL=""', f'DEFAULT_URL="{release.url}"'))
    target.chmod(0o755)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--glibc", required=True, help="version of the C library that the programs are linked for")
    parser.add_argument("--url", default="", help="folder that will have the files; needed for the formula")
    parser.add_argument("--compression-level", type=int, default=6)
    parser.add_argument("--module", action="append", default=[], metavar="ARCHITECTURE=FILE", help="module of Python")
    parser.add_argument("programs", nargs="+", metavar="ARCHITECTURE=FILE")
    return parser.parse_args()


def by_architecture(arguments):
    """The files of arguments."""
    return {name: pathlib.Path(file) for name, file in (it.split("=", 1) for it in arguments)}


def main():
    options = arguments()
    release = Release(
        folder=options.folder,
        programs=by_architecture(options.programs),
        modules=by_architecture(options.module),
        glibc=options.glibc,
        url=options.url.rstrip("/"),
        time=int(os.environ["SOURCE_DATE_EPOCH"]),
        compression_level=options.compression_level,
    )
    for architecture in release.programs:
        archives.build(release, architecture)
        wheel.build(release, architecture)
    npm.build(release)
    install_script(release)
    if release.url:
        homebrew.build(release)
    else:
        print("no formula for Homebrew: the URL of the release is not given", file=sys.stderr)
    try:
        oci.build(release)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no container image: apt-get has no libraries for it: {error}", file=sys.stderr)


main()
