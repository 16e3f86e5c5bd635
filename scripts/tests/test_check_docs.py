#!/usr/bin/env python3
"""check-docs.py finds what it says it finds."""

import importlib.util
import tempfile
import unittest
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "check-docs.py"
SPEC = importlib.util.spec_from_file_location("check_docs", FILE)
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)
README = check.ROOT / "README.md"


class Found(unittest.TestCase):
    def test_links_to_files_and_headings(self):
        text = "[a](ARCHITECTURE.md#words) [b](https://example.com) [c](gone.md) [d](ARCHITECTURE.md#gone)"
        self.assertEqual(list(check.links(README, text)), ["link to gone.md: no such file",
                                                            "link to ARCHITECTURE.md#gone: no such heading"])

    def test_paths_in_backquotes(self):
        text = "`record/src/lib.rs` `docs/*.md` `queries/questions/NAME.sql` `a/b` `record/src/gone.rs`"
        self.assertEqual(list(check.paths(README, text)), ["`record/src/gone.rs`: no such file"])

    def test_named_tests(self):
        text = "`record/tests/suite/ids.rs`: `ids_come_back_from_their_parts`, `gone` and more"
        self.assertEqual(list(check.tests(text)), ["record/tests/suite/ids.rs has no test gone"])

    def test_a_question_is_a_row(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "who-calls.sql")
            path.write_text("-- name: who-calls\n-- title: Who calls?\n-- asked-by: support\n-- then: Ask the caller.\n-- params:\n--   service (text, required): the API\n"
                            "--   since (interval, default 1h): how far back\nSELECT 1")
            self.assertEqual(check.question(path), "| `who-calls` | service (required), since (1h) | Who calls? | support | Ask the caller. |")

    def test_questions_stand_by_their_order_and_those_without_one_last(self):
        with tempfile.TemporaryDirectory() as folder:
            heads = {"a": "", "b": "", "y": "-- order: 100\n", "z": "-- order: 20\n"}
            for name, head in heads.items():
                Path(folder, f"{name}.sql").write_text(f"{head}-- name: {name}\n")
            places = sorted(Path(folder).glob("*.sql"), key=check.place)
            self.assertEqual([path.stem for path in places], ["z", "y", "a", "b"])


if __name__ == "__main__":
    unittest.main()
