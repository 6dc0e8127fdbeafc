"""The modules of a crate import each other in one direction.

A module is a file. It imports each module that defines an item that its code names: in a `use` declaration, or in a
path of an expression, a pattern or a type. A name is followed through re-exports to the module that defines the item.
`mod child;` and `pub use child::Item` alone import nothing. Calls of methods import nothing, because they name no path.
Code whose `cfg` says that it is compiled only for tests is left out.
"""

import dataclasses
import pathlib
import re
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

LITERAL = re.compile(
    r"""(?P<line>//[^\n]*)
    |   (?P<block>/\*)
    |   (?P<prefix>\br\#(?=\w))
    |   (?<!\w)[bc]?r(\#*)"(?s:.*?)"\4
    |   (?<!\w)[bc]?"(?s:[^"\\]|\\.)*"
    |   (?<!\w)b?'(?:[^'\\]|\\.[^']*)'""",
    re.VERBOSE,
)
COMMENT_BRACKET = re.compile(r"/\*|\*/")
BRACKET = re.compile(r"[][(){}]")
CFG = re.compile(r"#(?P<inner>!?)\[cfg\((?P<condition>.*?)\)\]", re.DOTALL)
ATTRIBUTE = re.compile(r"\s*#\[")
VISIBILITY = r"\b(?P<public>pub)\b(?:\s*\([^)]*\))?"
# An item that ends with a block, or with a semicolon if it has none.
BLOCK_ITEM = re.compile(
    rf"""\s*(?:{VISIBILITY})?\s*(?:\b(?:const|async|unsafe|extern\s*"")\s+)*
    (?:\b(?:fn|impl|mod|struct|enum|union|trait)\b|\bmacro_rules!)""",
    re.VERBOSE,
)
SEMICOLON_ITEM = re.compile(rf"\s*(?:{VISIBILITY})?\s*\b(?:use|let|const|static|type)\b")
ITEM_PART = re.compile(r"->|=>|[][(){}<>;,]")
STRUCTURE = re.compile(
    rf"""[{{}}]
    |   (?:{VISIBILITY}\s+)?\buse\s+(?P<tree>[^;<]+);
    |   \bmod\s+(?P<module>\w+)\s*(?P<inline>[;{{])
    |   (?<![&*'])\b(?P<kind>fn|struct|enum|union|trait|type|const|static|macro_rules!)
        \s+(?:mut\s+)?(?!(?:fn|unsafe|async|extern)\b)(?P<item>\w+)""",
    re.VERBOSE,
)
USE_GROUP = re.compile(r"(?:(?P<path>.*?)::\s*)?\{(?P<trees>.*)\}", re.DOTALL)
# Not a method, a field, the rest of a path, or the name of a new item, field, parameter, local or associated type.
PATH = re.compile(
    r"""(?:(?<=\.\.)|(?<![\w.]))(?<!::)(?<!\bfn\ )(?<!\btype\ )(?<!\bmod\ )(?<!\bpub\(in\ )
    [A-Za-z_]\w*+(?:::[A-Za-z_]\w*+)*+(?!\s*(?::(?!:)|=(?![=>])))""",
    re.VERBOSE,
)


def without_literals(source):
    """The source with a space for each comment, an empty string for each literal, and no prefixes of identifiers."""
    parts, end = [], 0
    while match := LITERAL.search(source, end):
        parts.append(source[end:match.start()])
        end = match.end()
        match match.lastgroup:
            case "line":
                parts.append(" ")
            case "block":
                parts.append(" ")
                depth = 1
                while depth:
                    bracket = COMMENT_BRACKET.search(source, end)
                    depth += 1 if bracket[0] == "/*" else -1
                    end = bracket.end()
            case "prefix":
                pass
            case _:
                parts.append('""')
    return "".join(parts) + source[end:]


def holds_outside_tests(condition):
    """Whether the condition of a `cfg` holds outside of tests, None if that depends on the features or the target."""
    words = iter(re.findall(r'\w+(?:\s*=\s*"")?|\)', condition))

    def operands():
        values = []
        for word in words:
            match word:
                case ")":
                    break
                case "test":
                    values.append(False)
                case "not":
                    value, = operands()
                    values.append(None if value is None else not value)
                case "all" | "any":
                    decisive, inner = word == "any", operands()
                    values.append(decisive if decisive in inner else None if None in inner else not decisive)
                case _:
                    values.append(None)
        return values

    return operands()[0]


def block_end(text, start):
    """The end of the block or list whose bracket opens at the start."""
    depth = 0
    for match in BRACKET.finditer(text, start):
        depth += 1 if match[0] in "([{" else -1
        if depth == 0:
            return match.end()
    raise ValueError(f"no closing bracket: {text[start:start + 80]}")


def item_end(text, start):
    """The end of the item, statement, field or match arm that begins at the start."""
    has_block = BLOCK_ITEM.match(text, start) is not None
    has_semicolon = not has_block and SEMICOLON_ITEM.match(text, start) is not None
    depth = angles = 0
    for match in ITEM_PART.finditer(text, start):
        part = match[0]
        if part in "([{":
            depth += 1
        elif part in ")]}":
            depth -= 1
            if depth < 0:
                return match.start()
            if depth == 0 and part == "}" and not has_semicolon:
                return match.end()
        elif part in "<>":
            angles += 1 if part == "<" else -1
        elif depth == 0 and (part == ";" or part == "," and angles <= 0 and not has_block and not has_semicolon):
            return match.end()
    return len(text)


def product_code(source):
    """The source without comments, literals, and the code that is compiled only for tests."""
    text = without_literals(source)
    parts, end = [], 0
    while match := CFG.search(text, end):
        parts.append(text[end:match.start()])
        end = match.end()
        if holds_outside_tests(match["condition"]) is False:
            if match["inner"]:
                return ""
            while attribute := ATTRIBUTE.match(text, end):
                end = block_end(text, attribute.end() - 1)
            end = item_end(text, end)
    return "".join(parts) + text[end:]


def use_paths(tree, prefix=()):
    """The names that a `use` declaration brings into a module, each with its path. The name of a glob is `*`."""
    tree = tree.strip()
    if group := USE_GROUP.fullmatch(tree):
        prefix += tuple(re.findall(r"^::|\w+", group["path"] or ""))
        depth = start = 0
        trees = group["trees"] + ","
        for position, character in enumerate(trees):
            depth += (character == "{") - (character == "}")
            if character == "," and depth == 0:
                if trees[start:position].strip():
                    yield from use_paths(trees[start:position], prefix)
                start = position + 1
        return
    path, *alias = re.split(r"\s+as\s+", tree)
    path = prefix + tuple(re.findall(r"^::|\w+|\*", path))
    if path[-1] == "*":
        yield "*", path[:-1]
        return
    if path[-1] == "self" and len(path) > 1:
        path = path[:-1]
    yield alias[0] if alias else path[-1], path


@dataclasses.dataclass(frozen=True)
class Import:
    """A name that a `use` declaration brings into a module."""

    name: str
    path: tuple
    is_public: bool


@dataclasses.dataclass(frozen=True)
class Item:
    """An item, and the path of the file that defines it. The kind of an item that a macro defines is None."""

    name: str
    file: tuple
    kind: str | None


# Any item of another crate.
EXTERNAL = Item("", (), None)


class Module:
    """A file, which has a path in the crate, or an inline module of it."""

    def __init__(self, file, parent):
        self.file, self.parent = file, parent
        self.children, self.items, self.imports, self.globs, self.code = {}, {}, [], [], ""

    def resolve_name(self, name, visited=frozenset()):
        """The modules and items that have the name in this module. Modules, types and functions may share it."""
        targets = {self.children[name]} if name in self.children else set()
        if name in self.items:
            targets.add(Item(name, self.file, self.items[name]))
        if (self, name) in visited:
            return targets
        visited |= {(self, name)}
        for it in self.imports:
            if it.name == name:
                targets |= self.resolve(it.path, visited)
        for path in () if targets else self.globs:
            for module in self.resolve(path, visited):
                if isinstance(module, Module):
                    targets |= module.resolve_name(name, visited)
        return targets

    def resolve(self, path, visited=frozenset()):
        """The modules and items to which the path leads from this module, EXTERNAL if it leads to another crate."""
        first, *names = path
        if first == "crate":
            targets = {self.root()}
        elif first in ("self", "super"):
            targets = {self if first == "self" else self.parent}
        else:
            targets = self.resolve_name(first, visited) or {EXTERNAL}
        for name in names:
            modules = [it for it in targets if isinstance(it, Module)]
            if not modules:
                # The rest of the path names variants or associated items.
                break
            targets = set()
            for module in modules:
                if name == "super":
                    targets.add(module.parent)
                else:
                    targets |= module.resolve_name(name, visited) or {module.undefined(name, visited)}
        return targets

    def undefined(self, name, visited):
        """The item of a name that has no definition here: one of another crate, or one that a macro defines."""
        is_external = any(EXTERNAL in self.resolve(path, visited) for path in self.globs)
        return EXTERNAL if is_external else Item(name, self.file, None)

    def root(self):
        return self.parent.root() if self.parent else self

    def imported_items(self):
        """The items of other files that this module names."""
        targets = set()
        imported_names = {it.name for it in self.imports}
        for path in {tuple(it.split("::")) for it in PATH.findall(self.code)}:
            if len(path) > 1 or path[0] in imported_names or self.globs:
                targets |= self.resolve(path)
        for it in self.imports:
            for item in self.resolve(it.path):
                is_below = item.file[:len(self.file)] == self.file
                # A trait below is used even if the code does not name it. Other items are only re-exported then.
                if isinstance(item, Item) and (not is_below or not it.is_public and item.kind in ("trait", None)):
                    targets.add(item)
        return {it for it in targets if isinstance(it, Item) and it != EXTERNAL and it.file != self.file}


class Crate:
    """The modules below the file of a root module. `read` returns the text of a file, and None if there is no file."""

    def __init__(self, root, read):
        path = pathlib.PurePosixPath(root)
        self.root_name, self.read, self.modules = path.stem, read, []
        self.add(Module((), None), product_code(read(path)), path.parent)

    def add(self, module, text, folder):
        """Adds a module and those below it, whose files are in the folder."""
        self.modules.append(module)
        parts, end, depth = [], 0, 0
        while match := STRUCTURE.search(text, end):
            parts.append(text[end:match.start()])
            end = match.end()
            if match["tree"]:
                for name, path in use_paths(match["tree"]):
                    if name == "*":
                        module.globs.append(path)
                    else:
                        module.imports.append(Import(name, path, match["public"] is not None))
            elif match["module"] and depth == 0:
                if match["inline"] == "{":
                    end = block_end(text, match.end() - 1)
                    child, child_text = Module(module.file, module), text[match.end():end - 1]
                else:
                    child = Module((*module.file, match["module"]), module)
                    child_text = product_code(self.read_module(folder / match["module"]))
                module.children[match["module"]] = child
                self.add(child, child_text, folder / match["module"])
            else:
                parts.append(match[0])
                if match["item"] and depth == 0:
                    module.items[match["item"]] = match["kind"]
                depth += match[0].endswith("{") - match[0].endswith("}")
        module.code = "".join(parts) + text[end:]

    def read_module(self, path):
        for file in (path.with_suffix(".rs"), path / "mod.rs"):
            if (text := self.read(file)) is not None:
                return text
        raise FileNotFoundError(f"no file of the module {path}")

    def edges(self):
        """The pairs of a file and another one that it imports, each with the names of the items."""
        edges = {}
        for module in self.modules:
            for item in module.imported_items():
                edges.setdefault((self.name_of(module.file), self.name_of(item.file)), set()).add(item.name)
        return edges

    def name_of(self, file):
        return "::".join(file) or self.root_name


def workspace_edges(checkout=ROOT):
    """Each crate of the workspace of a checkout with the edges between its modules."""
    for member in tomllib.loads((checkout / "Cargo.toml").read_text())["workspace"]["members"]:
        folder = checkout / member / "src"

        def read(path, folder=folder):
            return (folder / path).read_text() if (folder / path).is_file() else None

        roots = [it for it in ("lib.rs", "main.rs") if (folder / it).is_file()]
        roots += sorted(f"bin/{it.name}" for it in (folder / "bin").glob("*.rs"))
        edges = {}
        for root in roots:
            for edge, names in Crate(root, read).edges().items():
                edges.setdefault(edge, set()).update(names)
        yield member, edges


def circles(edges):
    """The strongly connected components of at least two modules, by Tarjan's algorithm."""
    targets = {}
    for source, target in sorted(edges):
        targets.setdefault(source, []).append(target)
        targets.setdefault(target, [])
    numbers, lows, stack, components = {}, {}, [], []

    def visit(node):
        numbers[node] = lows[node] = len(numbers)
        stack.append(node)
        for target in targets[node]:
            if target not in numbers:
                visit(target)
                lows[node] = min(lows[node], lows[target])
            elif target in stack:
                lows[node] = min(lows[node], numbers[target])
        if lows[node] == numbers[node]:
            start = stack.index(node)
            components.append(tuple(sorted(stack[start:])))
            del stack[start:]

    for node in targets:
        if node not in numbers:
            visit(node)
    return sorted(it for it in components if len(it) > 1)


def drawing(crate, circle, edges):
    """A circle and its edges."""
    lines = [f"{crate}: {' '.join(circle)}"]
    for (source, target), names in sorted(edges.items()):
        if source in circle and target in circle:
            lines.append(f"    {source} → {target} by {', '.join(f'`{it}`' for it in sorted(names))}")
    return "\n".join(lines)


class Workspace(unittest.TestCase):
    def test_modules_have_no_circles(self):
        for crate, edges in workspace_edges():
            with self.subTest(crate=crate):
                found = [drawing(crate, it, edges) for it in circles(edges)]
                self.assertEqual(found, [], "remove one of the edges")


class Sources(unittest.TestCase):
    def test_comments_and_literals_hold_no_code(self):
        for source, code in (
            ("a // crate::b\nc", "a  \nc"),
            ("/// [`crate::b`]\nc", " \nc"),
            ("a /* b /* c */ d */ e", "a   e"),
            (r'a("crate::b \" // c", d)', 'a("", d)'),
            ('a(r"b\\", c)', 'a("", c)'),
            ('a(r#"b "c" // d"#, e)', 'a("", e)'),
            ('a(br##"b "# c"##, b"d", c"e")', 'a("", "", "")'),
            ("a('\"', b'\\'', '\\\\', '\\u{1F600}', c)", 'a("", "", "", "", c)'),
            ("fn a<'b>(c: &'b str, d: &'_ str) { 'e: loop {} }", "fn a<'b>(c: &'b str, d: &'_ str) { 'e: loop {} }"),
            ("for r in bar { r#type }", "for r in bar { type }"),
        ):
            with self.subTest(source=source):
                self.assertEqual(without_literals(source), code)

    def test_conditions_outside_of_tests(self):
        for condition, value in (
            ("test", False),
            ("not(test)", True),
            ('feature = ""', None),
            ("unix", None),
            ('all(test, feature = "")', False),
            ('all(unix, not(any(test, feature = "")))', None),
            ('any(test, feature = "")', None),
            ("any(test, not(test))", True),
        ):
            with self.subTest(condition=condition):
                self.assertIs(holds_outside_tests(condition), value)

    def test_code_for_tests_is_left_out(self):
        for source, code in (
            ("#[cfg(test)] mod tests; fn a() {}", "fn a() {}"),
            ("#[cfg(test)] #[path = \"b.rs\"] mod tests { fn b() { c() } } fn a() {}", "fn a() {}"),
            ("#[cfg(test)] pub(crate) use b::{c, d::{e}}; fn a() {}", "fn a() {}"),
            ("#[cfg(test)] pub const fn b<C, D>(e: [C; 2]) -> D where C: D { f; g } fn a() {}", "fn a() {}"),
            ("#[cfg(test)] impl<B, C> D<B, C> for E { } fn a() {}", "fn a() {}"),
            ("#[cfg(test)] const B: C = C { d: 1 }; fn a() {}", "fn a() {}"),
            ("struct A { #[cfg(test)] b: C<D, E>, f: G }", "struct A { f: G }"),
            ("struct A { f: G, #[cfg(test)] b: C }", "struct A { f: G, }"),
            ("match a { #[cfg(test)] B => { c } D => e }", "match a { D => e }"),
            ("#![cfg(test)] fn a() {}", ""),
            ("#[cfg(not(test))] fn a() {}", "fn a() {}"),
            ("#[cfg(any(test, feature = \"b\"))] fn a() {}", "fn a() {}"),
        ):
            with self.subTest(source=source):
                self.assertEqual(product_code(source).split(), code.split())

    def test_names_of_use_declarations(self):
        for tree, paths in (
            ("a", {"a": "a"}),
            ("crate::a::B", {"B": "crate a B"}),
            ("super::{self, a::{B as C, d::{self, E}}, *}", {
                "super": "super", "C": "super a B", "d": "super a d", "E": "super a d E", "*": "super",
            }),
            ("{a::B,\n    c::*,\n}", {"B": "a B", "*": "c"}),
            ("a::B as _", {"_": "a B"}),
            ("::a::B", {"B": ":: a B"}),
        ):
            with self.subTest(tree=tree):
                self.assertEqual({name: " ".join(path) for name, path in use_paths(tree)}, paths)


class Edges(unittest.TestCase):
    def check(self, *edges, **sources):
        """Checks the edges of a crate, each as `module module names`. The source `a__b` is the file `a/b.rs`."""
        files = {f"{name.replace('__', '/')}.rs": source for name, source in sources.items()}
        actual = Crate("lib.rs", lambda path: files.get(str(path))).edges()
        self.assertEqual(sorted(" ".join((*edge, *sorted(names))) for edge, names in actual.items()), list(edges))

    def test_modules_and_re_exports_of_a_parent(self):
        self.check(lib="mod a; pub use a::A; pub(crate) use self::a::{b, C as D};",
                   a="pub struct A; pub fn b() {} pub struct C;")

    def test_names_that_a_parent_uses(self):
        self.check("lib a A b c", lib="mod a; use a::A; pub use a::b; fn d(_: &mut A) { b(); a::c() }",
                   a="pub struct A; pub fn b() {} pub fn c() {}")
        self.check("lib a A", lib="mod a; pub use a::A; fn d(x: X) -> X { if let A(y) = x { y } }",
                   a="pub struct A(X);")
        self.check("lib a A", lib="mod a; use a::A; fn d() {}", a="pub trait A {}")

    def test_words_that_are_no_names_of_the_parent(self):
        self.check(lib="""mod a; pub use a::{b, Item};
            trait T { type Item; fn b(&self); }
            fn f(x: impl Iterator<Item = u8>) -> S { // b()
                x.b(); x::b(); x.b.y; "crate::a::Item"; S { b: 1, ..x }
            }""", a="pub fn b() {} pub struct Item;")

    def test_items_of_a_parent(self):
        self.check("a lib B f", "a::c a D", lib="mod a; pub struct B; fn f() {}",
                   a="mod c; use super::B; struct D; fn g() { crate::f() }", a__c="impl super::D {}")

    def test_re_exports_lead_to_definitions(self):
        self.check("b a::c C f", "d a::c C", lib="mod a; mod b; mod d; pub use a::{C as Renamed, f};",
                   a="mod c; pub use c::*;", a__c="pub struct C; pub fn f() {}",
                   b="use crate::{Renamed, a::f};", d="fn g() { super::a::C::new() }")

    def test_imports_of_a_parent_lead_to_definitions(self):
        self.check("a b B", "a::c b B", "a::d b B", lib="mod a; mod b;", b="pub struct B;",
                   a="mod c; mod d; use crate::b::B;", a__c="use super::B;", a__d="use super::*; fn f(_: B) {}")

    def test_imported_modules(self):
        self.check("b a A", "c a A", lib="mod a; mod b; mod c; mod d;", a="pub struct A;",
                   b="use crate::a; fn f(_: a::A) {}", c="use super::a as e; use e::A;", d="use crate::a;")

    def test_modules_and_functions_of_one_name(self):
        self.check("b a a", "c a A", lib="mod a; mod b; mod c; pub use a::a;", a="pub fn a() {} pub struct A;",
                   b="use crate::a; fn f() { a() }", c="fn f(_: crate::a::A) {}")

    def test_other_crates(self):
        self.check(lib="mod a; mod http; pub use x::{X, y::*}; use ::http::H;", http="",
                   a="use crate::X; use super::Z; use http::H; use std::fmt; fn f() { fmt::g(crate::Y, crate::H) }")

    def test_variants_and_associated_items(self):
        self.check("b a A", "c a A", lib="mod a; mod b; mod c;", a="pub enum A { B, C }",
                   b="use crate::a::A::{self, B}; use super::a::A::*;", c="fn f() { crate::a::A::B.g::<u8>() }")

    def test_items_that_macros_define_and_macros(self):
        self.check("b a A m", lib="mod a; mod b;", a="make! { A } macro_rules! m { () => {} } pub(crate) use m;",
                   b="use crate::a::{A, m};")

    def test_inline_modules_are_part_of_their_file(self):
        self.check("a b B", "a::c b B", "b a I", lib="mod a; mod b;", b="pub struct B; fn f(_: crate::a::inline::I) {}",
                   a="mod inline { use super::super::b::B; use super::*; pub struct I; mod c; } struct D;",
                   a__inline__c="use super::B;")

    def test_declarations_in_functions(self):
        self.check("a b B", lib="mod a; mod b;", b="pub struct B;",
                   a="fn f<const N: usize>() -> &'static str { use crate::b::B; struct C; B }")

    def test_visibility_is_no_use(self):
        self.check(lib="mod a;", a="mod b;", a__b="pub(in crate::a) struct B; pub(super) fn f() {} pub(crate) mod c {}")

    def test_modules_for_tests_are_not_read(self):
        self.check(lib="mod a; #[cfg(test)] mod tests; #[cfg(all(test, unix))] mod testing;",
                   a='#[cfg(test)] #[path = "a_tests.rs"] mod tests; #[cfg(test)] use crate::f;')

    def test_folders_with_a_mod_file(self):
        self.check("a lib A", "a::b a B", lib="mod a; struct A;", a__mod="mod b; struct B; fn f(_: crate::A) {}",
                   a__b="use super::B;")

    def test_modules_without_a_file_are_errors(self):
        with self.assertRaises(FileNotFoundError):
            self.check(lib="mod a;")


class Circles(unittest.TestCase):
    def test_circles_are_strongly_connected_components(self):
        edges = ["ab", "bc", "ca", "cd", "de", "ef", "fe", "gg"]
        self.assertEqual(circles({tuple(it): {"X"} for it in edges}), [("a", "b", "c"), ("e", "f")])
        self.assertEqual(circles({}), [])

    def test_a_circle_is_drawn_with_what_causes_it(self):
        edges = {("a", "b"): {"B", "C"}, ("b", "a"): {"A"}, ("b", "c"): {"D"}}
        drawn = "x: a b\n    a → b by `B`, `C`\n    b → a by `A`"
        self.assertEqual([drawing("x", it, edges) for it in circles(edges)], [drawn])


if __name__ == "__main__":
    unittest.main()
