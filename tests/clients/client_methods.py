"""The methods of client libraries, compared with the tables of `docs/client-methods.md`.

The tables are the expectation. They list each public method of a library, and say whether Neap does what the method is
for (`equal`, `better`), or with which error it answers (`missing`).
"""

import importlib
import inspect
import pathlib
import pkgutil
import re
import unittest

from server import TestCase

_PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "client-methods.md"
_CODE = re.compile(r"`([^`]+)`")
_CALL = "call_"
_ANSWERED = ("equal", "better")


def table(library):
    """Returns the table of a library: for each class, the result and the note of each method."""
    section = _PAGE.read_text().split(f"\n## `{library}`", 1)[1].split("\n## ", 1)[0]
    classes = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 4 or not cells[0].startswith("`"):
            continue
        names, methods, result, note = cells
        for name in _CODE.findall(names):
            for method in _CODE.findall(methods):
                rows = classes.setdefault(name, {})
                assert method not in rows, f"{name}.{method} stands twice"
                rows[method] = result, note
    return classes


def public_methods(of):
    """Returns the names of the public methods of a class, inherited ones included."""
    return sorted(name for name, member in inspect.getmembers(of, callable) if not name.startswith("_"))


def classes_of(package, pattern):
    """Returns the names of the classes in the modules of a package that match a pattern."""
    found = set()
    for module in pkgutil.iter_modules(package.__path__):
        path = f"{package.__name__}.{module.name}"
        for name, member in vars(importlib.import_module(path)).items():
            if inspect.isclass(member) and member.__module__ == path and pattern.fullmatch(name):
                found.add(name)
    return sorted(found)


class MethodsTestCase(TestCase):
    """Calls all methods of a class: a method `call_NAME` calls the method `NAME`, and checks its result."""

    # The heading of the table, the class, and the errors that answers of Neap become.
    library, of, errors = None, None, ()

    @classmethod
    def setUpClass(cls):
        if cls.of is None:
            raise unittest.SkipTest("the base of other tests")

    @staticmethod
    def answer_of(error):
        """Returns the answer of Neap that became an error, as the table shows it."""
        return str(error)

    def test_methods(self):
        rows = table(self.library).get(self.of.__name__, {})
        methods = public_methods(self.of)
        self.assertEqual(sorted(rows), methods, "the table lists the methods of the class")
        calls = sorted(name.removeprefix(_CALL) for name in dir(self) if name.startswith(_CALL))
        self.assertEqual(calls, methods, "each method is called")
        for method in methods:
            with self.subTest(f"{self.of.__name__}.{method}"):
                self.check_method(method, *rows[method])

    def check_method(self, method, result, note):
        try:
            getattr(self, _CALL + method)()
        except self.errors as error:
            shown = _CODE.findall(note)[:1]
            self.assertEqual((result, shown), ("missing", [self.answer_of(error)]))
        else:
            self.assertIn(result, _ANSWERED, "Neap does what the method is for")
