#!/usr/bin/env python3
"""Tests of check-structure.py, on made-up trees: scripts/tests/test_structure.py"""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True
from structure import checks, circles, rules, rust_source  # noqa: E402


class Tree(unittest.TestCase):
    """A folder with the files of a test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, files):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def wings(self, **files):
        """The arrows of a crate with these files: `a__b` is a/b.rs."""
        self.write({f"src/{name.replace('__', '/')}.rs": text for name, text in files.items()})
        return [(arrow.tail, arrow.head) for arrow in circles.arrows_of_wings(self.root / "src")]


class Circles(Tree):
    def test_a_circle_is_printed_with_the_lines_that_tie_it(self):
        self.write({
            "member/Cargo.toml": '[package]\nname = "made-up"\n',
            "member/src/lib.rs": "mod client;\nmod pool;\nmod text;\n",
            "member/src/client/mod.rs": "mod tls;\n",
            "member/src/client/tls.rs": "use std::io;\n\nuse crate::{\n    text,\n    pool::Pool,\n};\n",
            "member/src/pool/mod.rs": "fn open() {\n    super::client::tls::dial()\n}\n",
            "member/src/text.rs": "pub fn cut() {}\n",
        })
        package = {"name": "made-up", "manifest_path": str(self.root / "member/Cargo.toml"), "dependencies": []}
        self.assertEqual(checks.circles_between_wings(self.root, [package]), [
            "circle of imports in made-up: client -> pool -> client\n"
            "  client -> pool: member/src/client/tls.rs:5: pool::Pool,\n"
            "  pool -> client: member/src/pool/mod.rs:2: super::client::tls::dial()"
        ])

    def test_a_tree_without_a_circle_has_none(self):
        self.wings(lib="pub mod a;\npub mod b;\npub use a::A;\n", a="use crate::b::B;\n", b="pub struct B;\n")
        self.assertEqual(circles.circles(circles.arrows_of_wings(self.root / "src")), [])

    def test_the_shortest_of_several_circles_is_shown(self):
        arrows = [circles.Arrow(tail, head, None, 1, "") for tail, head in ["ab", "bc", "ca", "cb", "xy"]]
        self.assertEqual([[arrow.tail for arrow in circle] for circle in circles.circles(arrows)], [["b", "c"]])

    def test_crates_that_need_each_other_for_their_tests_are_a_circle(self):
        self.write({"a/Cargo.toml": '[dev-dependencies]\nb = { path = "../b" }\n', "b/Cargo.toml": '[dependencies]\na.workspace = true\n'})
        packages = [{"name": name, "manifest_path": str(self.root / name / "Cargo.toml"), "dependencies": [{"name": other}, {"name": "serde"}]}
                    for name, other in ["ab", "ba"]]
        self.assertEqual(checks.circles_between_crates(self.root, packages), [
            "circle of imports in the workspace: a -> b -> a\n"
            '  a -> b: a/Cargo.toml:2: b = { path = "../b" }\n'
            "  b -> a: b/Cargo.toml:2: a.workspace = true"
        ])


class Arrows(Tree):
    def test_groups_globs_and_qualified_paths_are_imports(self):
        found = self.wings(a="use crate::{b::{self, B}, c::*};\nfn f() { crate::d::g::<u8>(); }\n", b="", c="", d="")
        self.assertEqual(found, [("a", "b"), ("a", "b"), ("a", "c"), ("a", "d")])

    def test_super_rises_from_where_the_file_stands(self):
        found = self.wings(a__mod="use super::b;\n", a__deep="use super::super::b::B;\nuse super::sibling;\n", a__sibling="", b="")
        self.assertEqual(found, [("a", "b"), ("a", "b")])

    def test_what_the_root_exports_again_is_its_wings(self):
        found = self.wings(lib="mod a;\nmod b;\npub use a::{Frame, Seed};\npub use other_crate as outside;\npub struct Own;\n",
                           a="", b="use crate::Seed;\nuse crate::outside::X;\nuse crate::Own;\n")
        self.assertEqual(found, [("b", "a"), ("b", circles.ROOT)])

    def test_the_root_imports_what_it_calls_not_what_it_exports(self):
        found = self.wings(main="mod a;\npub mod b;\npub use b::B;\nfn main() { a::run() }\n", a="", b="")
        self.assertEqual(found, [(circles.ROOT, "a")])

    def test_visibility_comments_strings_and_tests_import_nothing(self):
        found = self.wings(
            a='pub(in crate::b) fn f() {}\n// crate::b::B\n/* /* crate::b */ crate::b::B */\nconst T: &str = "crate::b::B \\" crate::b";\n'
              'const R: &str = r#"crate::b::B " "#;\nfn g<\'a>(c: char) -> bool { c == \'"\' }\n'
              "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n    mod deep { use crate::b; }\n}\n",
            b="",
        )
        self.assertEqual(found, [])


class Rules(Tree):
    def test_a_dependency_through_others_is_found_with_the_way_to_it(self):
        names = ["light", "middle", "heavy"]
        packages = [{"id": name, "name": name, "manifest_path": str(self.root / name / "Cargo.toml")} for name in names]
        needs = {"light": [("middle", None)], "middle": [("heavy", None)], "heavy": []}
        nodes = [{"id": name, "deps": [{"pkg": pkg, "dep_kinds": [{"kind": kind}]} for pkg, kind in needs[name]]} for name in names]
        graph = {"packages": packages, "workspace_members": ["light"], "resolve": {"nodes": nodes}}
        rule = rules.Never(("light",), ("heavy",), "it is heavy")
        self.assertEqual(checks.forbidden_dependencies(self.root, graph, [rule]),
                         ["light depends on heavy (light -> middle -> heavy): it is heavy"])
        needs["light"] = nodes[0]["deps"][0]["dep_kinds"][0]["kind"] = "dev"
        self.assertEqual(checks.forbidden_dependencies(self.root, graph, [rule]), [])

    def test_leaves_need_nothing_heavy_for_their_tests_either(self):
        needs = {"leaf": [], "tested": ["datafusion"], "over": ["leaf", "proxy"], "proxy": ["leaf"], "tests": [], "datafusion": []}
        nodes = [{"id": name, "deps": [{"pkg": pkg} for pkg in needs[name]]} for name in needs]
        packages = [{"id": name, "name": name, "manifest_path": str(self.root / name / "Cargo.toml")} for name in needs]
        graph = {"packages": packages, "workspace_members": list(needs), "resolve": {"nodes": nodes}}
        self.assertEqual(checks.leaves(self.root, graph), ["leaf"])

    def test_a_name_is_found_in_code_alone(self):
        self.write({"src/deep/a.rs": "// Worker\nfn f(w: &Worker) {}\nstruct Workers;\n"})
        rule = rules.Unnamed(("src/**/*.rs",), r"\bWorker\b", "it must not know it")
        self.assertEqual(checks.forbidden_names(self.root, [rule]), ["src/deep/a.rs:2: names Worker: it must not know it"])

    def test_a_long_file_is_found_unless_a_build_made_it(self):
        self.write({"src/a.rs": "\n" * 501, "src/b.rs": "\n" * 500, "target/c.rs": "\n" * 900})
        self.assertEqual(checks.long_files(self.root), ["src/a.rs has 501 lines; split it by what it holds: 500 are the most"])

    def test_every_rule_is_about_a_folder_that_there_is(self):
        root = pathlib.Path(__file__).resolve().parent.parent.parent
        for rule in rules.NEVER:
            for folder in rule.folders:
                self.assertTrue(list(root.glob(folder)), f"{folder} is no folder: {rule.why}")
        for rule in rules.UNNAMED:
            self.assertTrue(checks.sources(root, rule.files), f"no file is as in {rule.files}: {rule.why}")


class Text(unittest.TestCase):
    def test_blanking_keeps_the_lines(self):
        text = 'a /* b\nc */ d "e\nf" g\n'
        self.assertEqual(rust_source.code(text).count("\n"), text.count("\n"))
        self.assertEqual(rust_source.code(text).split(), ["a", "d", "g"])


if __name__ == "__main__":
    unittest.main()
