"""Blocks of code of a guide, which are read at run time.

Guides contain placeholders, and some blocks that no interpreter accepts, because their lines were broken to fit the
page. The functions here make such blocks executable without a change of meaning.
"""

import os
import pathlib
import re
import textwrap

# The folder with the guides, if it exists.
FOLDER = os.environ.get("NEAP_GUIDES")

BLOCK = re.compile(r"^( *)```(?P<language>\w+)\n(?P<code>.*?)^\1```", re.DOTALL | re.MULTILINE)
HOST = re.compile(r"(https?://)?\{\{< influxdb/host >\}\}")


def read(file, *languages):
    """Returns the blocks of a guide in these languages."""
    text = pathlib.Path(FOLDER, file).read_text()
    return [textwrap.dedent(match["code"]) for match in BLOCK.finditer(text) if match["language"] in languages]


def fill(code, url, values):
    """Replaces the host and other placeholders."""
    code = HOST.sub(url, code)
    for name, value in values.items():
        code = code.replace(name, value)
    return code


def _join_import(match):
    return f"{match['from']}({match['names']})\n"


def repair(code):
    """Joins imports and texts that are broken across lines, and separates a quote from the end of a text."""
    code = re.sub(
        r"^(?P<from>from \S+ import )(?P<names>[^(\n]*,\n(?:[^\n]*,\n)*[^\n]*)\n", _join_import, code, flags=re.M
    )
    code = re.sub(r'(f"[^"\n]*)\n\s*([^"\n]*")', r"\1 \2", code)
    return code.replace("''''", "' '''")


def is_signature(code):
    """Returns whether a block is the signature of a method."""
    return re.match(r"\w+\(self\b", code) is not None


def compiled(code, name):
    """Compiles a block, after a repair if it needs one."""
    try:
        return compile(code, name, "exec")
    except SyntaxError:
        return compile(repair(code), name, "exec")
