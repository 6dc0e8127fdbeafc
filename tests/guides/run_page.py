#!/usr/bin/env python3
"""Runs the command blocks of a page of the documentation as they are printed, in their order, on a server of their own.

A command block is a block of code in `sh`, or an indented block whose first word is one of `PROGRAMS`. A line with `neap
serve` starts the server in the background, in place of the one that runs. A page without such a line uses a server that
asks for no tokens. Values that depend on the machine are replaced: the address 127.0.0.1:8181, and `apiv3_…` by the token
that was shown last. Questions are answered with yes. A block whose first line is a comment with a path is stored as
this file.

Comments before a block, which a reader does not see, say how it is used:

    <!-- test: skip, REASON -->    the block is not run; the reason is printed
    <!-- test: needs PROGRAM -->   the block is run if this program is there
    <!-- test: repeat -->          the block is repeated until it succeeds, and until its output is the one shown
    <!-- test: terminal -->        the block is a session of the shell of `neap query`: its command, and then the prompts with
                                   what is entered, and what is printed
    <!-- test: output -->          the block shows what the commands before it print. Times and ids may differ, and `…`
                                   stands for any text
    <!-- test: serve OPTIONS -->   the server is started with these options
    <!-- test: answers TEXT -->    questions of later blocks are answered with this text, in place of yes
    <!-- test: replace A by B -->  later blocks are run with B in place of A; B may have substitutions of the shell
    <!-- test: run                 these commands are run, for what the page takes for granted
    COMMANDS -->

Commands in comments have two more variables: REPOSITORY, the folder of the project, and FREE_PORT.

Usage: run_page.py PAGE, in an empty folder. The variable NEAP names the program.
"""

import contextlib
import os
import pathlib
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEAP = os.environ["NEAP"]
# Short margins of the servers of tests.
MARGINS = f"NEAP_PROTOCOL_MARGINS={os.environ.get('NEAP_PROTOCOL_MARGINS', 'standard')}"
WORK = pathlib.Path.cwd()

PROGRAMS = {
    "apt", "cargo", "cd", "chronograf", "curl", "docker", "echo", "export", "influx", "kubectl", "neap", "npm", "openssl",
    "podman", "pvesh", "scripts/fuzz", "scripts/neap", "scripts/quickstart", "scripts/soak", "scripts/test", "terraform",
    "uvx",
}  # fmt: skip
# A variable that is set before the command, or the prompt of a shell.
BEFORE_PROGRAM = re.compile(r"^(\$ |[A-Z_]+=\S+ )*")
SERVE = re.compile(r"^(scripts/)?neap serve\b")
FILE = re.compile(r"^# (\S+/\S+)$", re.M)
COMMENT = re.compile(r"<!-- test: (?P<kind>\w+),? ?(?P<value>.*?)-->", re.S)
SHOWN_TOKEN = "apiv3_…"
TOKEN = re.compile(r"apiv3_[\w-]{20,}")
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?"), "TIME"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b\d{16,20}\b"), "NUMBER"),
    (re.compile(r"\b\d+(\.\d+)? (B|KiB|MiB|GiB)\b"), "SIZE"),
    (re.compile(r"\b\d+(\.\d+)? (ns|µs|ms|s)\b"), "DURATION"),
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r" {2,}"), " "),
]

# Seconds that a block takes at most, and a block that is repeated.
LIMIT = 60
REPEAT_LIMIT = 120


def blocks(text):
    """Returns the blocks of code and the comments of a page: the line, the kind, and the text."""
    lines = text.splitlines()
    number, after_blank, result = 0, True, []
    while number < len(lines):
        line, start = lines[number], number + 1
        if fence := re.match(r"( *)```(\w*)", line):
            end = next(at for at in range(start, len(lines)) if lines[at].strip() == "```")
            code = [it.removeprefix(fence[1]) for it in lines[start:end]]
            result.append((start, fence[2] or "text", "\n".join(code)))
            number = end + 1
        elif line.startswith("    ") and after_blank:
            end = start
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            result.append((start, "indented", textwrap.dedent("\n".join(lines[number:end])).rstrip()))
            number = end
        elif line.startswith("<!-- test:"):
            end = next(at for at in range(number, len(lines)) if "-->" in lines[at])
            result.append((start, "comment", "\n".join(lines[number : end + 1])))
            number = end + 1
        else:
            number += 1
        after_blank = not lines[number - 1].strip()
    return result


def is_command(kind, code):
    """Returns whether a block consists of commands."""
    words = BEFORE_PROGRAM.sub("", code).split()
    return kind == "sh" or kind == "indented" and bool(words) and words[0] in PROGRAMS


def statements(code):
    """Splits commands into statements, each of which the shell can run by itself."""
    result, pending = [], []
    for line in code.splitlines():
        pending.append(line)
        text = "\n".join(pending)
        if not line.endswith("\\") and subprocess.run(["bash", "-n", "-c", text], capture_output=True).returncode == 0:
            result.append(text)
            pending = []
    return result + ["\n".join(pending)] * bool(pending)


def masked(text):
    """Returns the lines of a text without what differs from run to run."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def shows(expected, printed):
    """Returns whether consecutive lines of the output are the expected ones."""
    patterns = [re.compile(".*".join(re.escape(it) for it in line.split("…"))) for line in masked(expected)]
    lines = masked(printed)
    starts = range(len(lines) - len(patterns) + 1)
    return any(all(p.fullmatch(it) for p, it in zip(patterns, lines[start:])) for start in starts)


def free_port():
    """Returns a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Failure(Exception):
    """A block that does not do what the page promises."""


class Page:
    """The state of a page that is run: its server, its environment, and its last output."""

    def __init__(self):
        self.address = f"127.0.0.1:{free_port()}"
        self.server = None
        self.replacements = [("127.0.0.1:8181", self.address)]
        self.token = ""
        self.output = ""
        self.skipped = []
        programs = WORK / "bin"
        programs.mkdir()
        (programs / "neap").symlink_to(NEAP)
        (WORK / "scripts").mkdir()
        (WORK / "scripts/neap").symlink_to(NEAP)
        self.answers = WORK / ".answers"
        self.answer("yes")
        self.exports = WORK / ".exports"
        # Without the variables of the tests, which are none of options.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NEAP")}
        variables = kept | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "REPOSITORY": str(ROOT),
            "FREE_PORT": str(free_port()),
            "NEAP_HOST_URL": f"http://{self.address}",
            "NEAP_HTTP_BIND": self.address,
        }
        self.exports.write_text("".join(f"export {it}={shlex.quote(value)}\n" for it, value in variables.items()))

    def fill(self, code):
        """Replaces the values of a page that depend on the machine and on earlier commands."""
        for text, value in self.replacements:
            code = code.replace(text, value)
        return code.replace(SHOWN_TOKEN, self.token)

    def answer(self, text):
        """Sets what later commands read from their input."""
        self.answers.write_text(f"{text}\n" * 100)

    def expanded(self, text):
        """Returns a text after the substitutions of the shell."""
        answer = subprocess.run(["bash", "-c", f". '{self.exports}'; echo \"{text}\""], env={}, capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def serve(self, command):
        """Starts the server, in place of the one that runs."""
        self.stop()
        with open(WORK / "server.log", "a") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", f". '{self.exports}'; {MARGINS} exec {self.fill(command)}"],
                env={}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        host, port = self.address.split(":")
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"the server does not start: {command}\n{(WORK / 'server.log').read_text()}")

    def start_for(self, code):
        """Starts the server of a page that does not show how to, before its first commands."""
        if self.server is None and not any(SERVE.match(it) for it in code.splitlines()):
            self.serve("neap serve --without-auth")

    def stop(self):
        """Ends the server in order."""
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(LIMIT)

    def run(self, code):
        """Runs a statement, and returns its exit status."""
        script = f". '{self.exports}'\nset -e\n{self.fill(code)}\nexport -p >'{self.exports}'\n"
        with open(WORK / ".output", "wb") as output, open(self.answers) as answers:
            process = subprocess.run(
                ["bash", "-c", script], env={}, stdin=answers, stdout=output, stderr=subprocess.STDOUT,
                timeout=LIMIT,
            )  # fmt: skip
        printed = (WORK / ".output").read_text(errors="replace")
        self.output += printed
        if found := TOKEN.search(printed):
            self.token = found[0]
        return process.returncode

    def type(self, command, text):
        """Runs a command on a terminal of its own, and enters a text."""
        terminal, client_side = pty.openpty()
        script = f". '{self.exports}'; export TERM=dumb; exec {self.fill(command)}"
        process = subprocess.Popen(
            ["bash", "-c", script], env={}, stdin=client_side, stdout=client_side, stderr=client_side,
        )  # fmt: skip
        os.close(client_side)
        end = threading.Timer(LIMIT, process.kill)
        end.start()
        os.write(terminal, text.encode())
        printed = b""
        # The end of the process is an error of the terminal.
        with contextlib.suppress(OSError):
            while part := os.read(terminal, 1 << 16):
                printed += part
        end.cancel()
        os.close(terminal)
        process.wait(LIMIT)
        # What is entered is ahead of the prompts.
        self.output = re.sub(r"^(\w+> )+", "", printed.decode(errors="replace").replace("\r", ""), flags=re.M)

    def step(self, code):
        """Runs a block of commands until one fails. Returns its exit status."""
        self.output = ""
        for statement in statements(code):
            if SERVE.match(statement):
                self.serve(statement)
            elif status := self.run(statement):
                return status
        return 0


def refused(printed):
    """Returns whether an output is an answer of the server that refuses the request, with an exit status of 0."""
    return re.search(r'^\{.*"(error|code)": ?"[^"]', printed, re.M) is not None


def follow(page, listing):
    """Runs all blocks of a page."""
    marks = {}
    for index, (line, kind, code) in enumerate(listing):
        if kind == "comment":
            mark = COMMENT.match(code)
            if not mark:
                raise Failure(f"line {line}: a comment that is not understood")
            name, value = mark["kind"], mark["value"].strip()
            if name == "serve":
                page.serve(f"neap serve {value}")
            elif name == "answers":
                page.answer(value)
            elif name == "replace":
                text, value = value.split(" by ")
                page.replacements.append((text, page.expanded(value)))
            elif name == "run":
                page.start_for(value)
                if page.step(value) != 0:
                    raise Failure(f"line {line}: {value}\n{page.output}")
            elif name in {"skip", "needs", "repeat", "terminal", "output"}:
                marks[name] = value
            else:
                raise Failure(f"line {line}: {name} is no kind of comment")
            continue
        expected, marks = marks, {}
        if "skip" in expected:
            print(f"line {line} is not run: {expected['skip']}")
        elif "needs" in expected and not shutil.which(expected["needs"]):
            print(f"line {line} is not run: there is no {expected['needs']}")
        elif named := FILE.match(code):
            path = WORK / named[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(code + "\n")
        elif "terminal" in expected:
            run_session(page, line, code)
        elif "output" in expected and not shows(page.fill(code), page.output):
            raise Failure(f"line {line}: the page shows\n{code}\n--- printed:\n{page.output}")
        elif is_command(kind, code):
            run_block(page, line, code, expected, shown_after(listing, index))


def run_session(page, line, code):
    """Enters what follows the prompts of a session, and compares what is printed after each of them."""
    command, *lines = code.splitlines()
    entered, printed, is_open = [], [[]], False
    for text in lines:
        prompt = re.match(r"\w+> ", text)
        if prompt or is_open:
            entered.append(text[prompt.end() :] if prompt else text)
            is_open = not entered[-1].endswith(";") and not entered[-1].startswith("\\")
            printed.append([])
        else:
            printed[-1].append(text)
    page.type(command.removeprefix("$ "), "\n".join(entered) + "\n\\q\n")
    for part in printed:
        if not shows("\n".join(part), page.output):
            raise Failure(f"line {line}: the page shows\n{part}\n--- printed:\n{page.output}")


def shown_after(listing, index):
    """Returns the output that the page shows after a block, or an empty text."""
    after = listing[index + 1 : index + 3]
    if len(after) == 2 and COMMENT.match(after[0][2]) and after[0][2].startswith("<!-- test: output"):
        return after[1][2]
    return ""


def run_block(page, line, code, expected, shown):
    """Runs a block of commands, and checks its exit status."""
    print(f"--- line {line}\n{code}", flush=True)
    if code.startswith("$ "):
        code, _, shown = code.removeprefix("$ ").partition("\n")
    page.start_for(code)
    deadline = time.monotonic() + REPEAT_LIMIT
    while True:
        status = page.step(code)
        succeeds = status == 0 and not refused(page.output)
        if "repeat" not in expected or (succeeds and shows(page.fill(shown), page.output)):
            break
        if time.monotonic() > deadline:
            raise Failure(f"line {line}: does not succeed\n{page.output}")
        time.sleep(0.2)
    print(page.output, flush=True)
    if not succeeds:
        raise Failure(f"line {line}: the commands end with status {status}\n{page.output}")
    if not shows(page.fill(shown), page.output):
        raise Failure(f"line {line}: the page shows\n{shown}\n--- printed:\n{page.output}")


def main():
    path = ROOT / sys.argv[1]
    listing = blocks(path.read_text())
    page = Page()
    try:
        follow(page, listing)
    except (Failure, subprocess.TimeoutExpired) as failure:
        sys.exit(f"FAILED: {sys.argv[1]}: {failure}")
    finally:
        page.stop()


if __name__ == "__main__":
    main()
