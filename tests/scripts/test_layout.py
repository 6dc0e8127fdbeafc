"""Crates depend on each other in the directions that docs/architecture.md draws."""

import pathlib
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The folders whose crates those of a folder may use, beside its own.
STORAGE = {"shared/storage"}
FUNCTIONS = STORAGE | {"shared/query", "shared/service"}
USED = {
    "shared/storage": set(),
    "shared/query": STORAGE,
    "shared/service": STORAGE,
    "functions": FUNCTIONS,
    "protocols": FUNCTIONS | {"functions"},
    "console": FUNCTIONS | {"functions"},
    "programs": FUNCTIONS | {"functions", "protocols", "console"},
}
FUNCTIONS_OF_FUNCTIONS = {("functions/backup", "functions/compact"), ("functions/backup", "functions/fsck")}


def folder_of(crate):
    """The folder of a crate that is one of those above; none for tests and measurements."""
    return next((it for it in USED if crate == it or crate.startswith(f"{it}/")), None)


def dependencies():
    """Each crate with the crates that it uses, except in tests."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    paths = {name: it["path"] for name, it in workspace["dependencies"].items() if "path" in it}
    for member in workspace["members"]:
        manifest = tomllib.loads((ROOT / member / "Cargo.toml").read_text())
        in_tests = manifest.get("features", {}).get("testing", [])
        used = [name for name in manifest.get("dependencies", {}) if f"dep:{name}" not in in_tests]
        yield member, [paths[name] for name in used if name in paths]


class Layout(unittest.TestCase):
    def test_crates_use_those_of_folders_below(self):
        for crate, used in dependencies():
            if not (folder := folder_of(crate)):
                continue
            for other in used:
                with self.subTest(crate=crate, uses=other):
                    self.assertIn(folder_of(other), USED[folder] | {folder})

    def test_functions_use_no_other_functions(self):
        pairs = {(crate, other) for crate, used in dependencies() for other in used
                 if folder_of(crate) == folder_of(other) == "functions"}
        self.assertEqual(pairs, FUNCTIONS_OF_FUNCTIONS)

    def test_each_crate_is_in_the_table_of_the_architecture(self):
        page = (ROOT / "docs" / "architecture.md").read_text()
        paths = {crate: {pathlib.Path(other).name for other in used} for crate, used in dependencies()}
        for crate, used in paths.items():
            row = next((line for line in page.splitlines() if line.startswith(f"| `{crate}` |")), None)
            with self.subTest(crate=crate):
                self.assertIsNotNone(row)
                if folder_of(crate):
                    listed = row.rstrip(" |").rpartition("| ")[2]
                    self.assertEqual(set(listed.split(", ")) - {"none"}, used)


if __name__ == "__main__":
    unittest.main()
