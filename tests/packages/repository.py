"""The files that packages are made of, and the programs that check them."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBIAN_PACKAGES = ("ruby", "skopeo", "umoci")
PYTHON_READERS = ("pandas==3.1.1", "polars==2.1.0", "pyarrow==26.0.1")
PYTHON_TOOLS = ("kubernetes-validate==1.37.0", "pipx==1.18.4", "uv==0.13.9", "wheel==0.48.0")


def text(path):
    """The text of a file, whose path is from the root of the repository."""
    return (ROOT / path).read_text()


def program(name):
    """The path of a program of this machine; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        raise unittest.SkipTest(f"there is no {name}")
    return found


def skip_or_fail(reason):
    """Skips the test, because tools can't be installed, or lets it fail where all tests must run."""
    if os.environ.get("NEAP_REQUIRE_TEST_INPUTS"):
        raise FileNotFoundError(reason)
    raise unittest.SkipTest(reason)


def is_installed(folder, names):
    """Whether a folder has these packages, and no others."""
    noted = folder / "installed"
    return noted.exists() and noted.read_text().split() == list(names)


def note_installed(folder, names):
    """Remembers the packages of a folder."""
    (folder / "installed").write_text("\n".join(names))


@functools.cache
def debian_root():
    """The programs of Debian that the tests need, unpacked with their libraries; skips the test where that is impossible."""
    root = ROOT / ".debian/package-tests"
    if not is_installed(root, DEBIAN_PACKAGES):
        shutil.rmtree(root, ignore_errors=True)
        apt = [program("apt-get"), "-qq", "-oAPT::Sandbox::User=root", "--no-install-recommends"]
        program("dpkg")
        root.mkdir(parents=True, exist_ok=True)
        listed = subprocess.run([*apt, "-s", "install", *DEBIAN_PACKAGES], capture_output=True, text=True, timeout=60)
        names = re.findall(r"^Inst (\S+)", listed.stdout, re.M)
        got = subprocess.run([*apt, "download", *names], cwd=root, capture_output=True, text=True, timeout=300)
        if listed.returncode or got.returncode:
            skip_or_fail(f"Debian's packages can't be downloaded: {listed.stderr}{got.stderr}")
        for package in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True, timeout=60)
            package.unlink()
        note_installed(root, DEBIAN_PACKAGES)
    return root


def debian_program(name):
    """The call of a program that this machine has, or that is unpacked, and its environment."""
    if found := shutil.which(name):
        return {"args": [found], "env": {"PATH": os.environ["PATH"]}}
    usr = debian_root() / "usr"
    libraries = sorted({str(it.parent) for it in usr.glob("lib/*/*.so*")})
    ruby = [str(it) for pattern in ("lib/ruby/[0-9]*", "lib/*/ruby/[0-9]*") for it in usr.glob(pattern)]
    env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": ":".join(libraries), "RUBYLIB": ":".join(ruby)}
    return {"args": [str(usr / "bin" / name)], "env": env}


@functools.cache
def python_tools():
    """The folder with `kubernetes-validate`, `uvx`, `pipx` and `wheel`, in a virtual environment; skips the test where they can't be installed."""
    return virtual_environment(".venv-packages", PYTHON_TOOLS)


@functools.cache
def python_readers():
    """The folder with a Python that has readers of Arrow; skips the test where they can't be installed."""
    return virtual_environment(".venv-readers", PYTHON_READERS)


def virtual_environment(name, packages):
    """The folder of the programs of a virtual environment with these packages."""
    folder = ROOT / name
    if not is_installed(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        for call in ([sys.executable, "-m", "venv", folder], [folder / "bin/pip", "install", "--quiet", *packages]):
            done = subprocess.run(call, capture_output=True, text=True, timeout=300)
            if done.returncode:
                skip_or_fail(f"packages of Python can't be installed: {done.stdout}{done.stderr}")
        note_installed(folder, packages)
    return folder / "bin"


def yaml_documents(path):
    """The documents of a file in YAML; skips the test where no reader of YAML can be installed."""
    script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"
    read = subprocess.run(
        [python_tools() / "python", "-c", script], input=path.read_text(), capture_output=True, text=True, timeout=60
    )
    if read.returncode:
        raise ValueError(f"{path}: {read.stderr}")
    return json.loads(read.stdout)


def built():
    """The folder of what Cargo builds for tests."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug"


def python_module():
    """The module that `cargo build --workspace --lib --bins --tests` makes; it may be missing."""
    return built() / "libneap_python.so"


def neap():
    """The program that `cargo build --package neap` has made; skips the test if it has not."""
    if (built() / "neap").exists():
        return built() / "neap"
    if os.environ.get("NEAP_BINARIES_ARE_BUILT"):
        raise FileNotFoundError("neap is not among the binaries that are said to be built")
    raise unittest.SkipTest("neap is not built: cargo build --workspace --bins")


def asked(program, *arguments):
    """How a program is called that reads no configuration of this machine or user."""
    return {"args": [str(program), *arguments], "env": {"PATH": os.environ["PATH"]}, "timeout": 60}
