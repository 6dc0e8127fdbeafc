"""A name is not bound again by the statement that follows: `let x = …; let x = x.…` is one chain, or has two names."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def code_figures():
    """The program that counts them."""
    loader = importlib.machinery.SourceFileLoader("code_figures", str(ROOT / "scripts" / "code-figures"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class OneName(unittest.TestCase):
    def test_no_name_is_bound_again_by_the_next_statement(self):
        figures = code_figures()
        for path, text in figures.sources(ROOT):
            for match in figures.REBINDING.finditer(text):
                with self.subTest(file=path, line=text[:match.start()].count("\n") + 1):
                    self.fail(match[0])


if __name__ == "__main__":
    unittest.main()
