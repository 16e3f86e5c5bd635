#!/usr/bin/env python3
"""Checks the structure of the code. Lists the problems and ends with 1 if there are any.

    scripts/check-structure.py            all of these
    scripts/check-structure.py --leaves   prints the crates without heavy dependencies, for `cargo test`: -p NAME -p NAME …

- There is no circle of imports between crates, nor between the folders and files at the top of a crate's src. A circle is printed with
  the lines that close it.
- The rules of scripts/structure/rules.py hold: which crate never depends on which, and which code never names what.
- No source file is longer than 500 lines.

It reads the sources and cargo's metadata, and compiles nothing. It needs only Python 3.9.
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True
from structure import checks  # noqa: E402


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--leaves", action="store_true")
    options = arguments.parse_args()
    graph = checks.metadata(ROOT)
    if options.leaves:
        print(" ".join(f"-p {name}" for name in checks.leaves(ROOT, graph)))
        return 0
    members = set(graph["workspace_members"])
    packages = [package for package in graph["packages"] if package["id"] in members]
    problems = checks.circles_between_crates(ROOT, packages)
    problems += checks.circles_between_wings(ROOT, packages)
    problems += checks.forbidden_dependencies(ROOT, graph)
    problems += checks.forbidden_names(ROOT)
    problems += checks.long_files(ROOT)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(packages)} crates, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
