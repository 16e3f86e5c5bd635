#!/usr/bin/env python3
"""Checks that what the documents point at is there: relative links, their anchors, paths in backquotes, named tests, and the types that
ARCHITECTURE.md and CONTRIBUTING.md name. Also that the index of the decisions is whole, that the code map has every crate in the order
of dependencies, and that docs/queries.md lists the questions as their files describe them.

check-docs.py            exit status 1 if something is wrong
check-docs.py --write    writes the list of questions first"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
# Folders of the repository: a word in backquotes that begins with one of them is a path.
TOP = ("audit/", "bench/", "cli/", "collector/", "dashboards/", "docs/", "inputs/", "lib/", "proxy/", "queries/", "record/",
       "scripts/", "sinks/", "table/", "tests/")
# `tests/file.rs`: `name_of_a_test`, `another`
TESTS = re.compile(r"`([\w/.-]+\.rs)`: ((?:`\w+`(?:, )?)+)")


def anchors(path):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page, text):
    for target in LINK.findall(text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"link to {target}: no such file"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"link to {target}: no such heading"


def paths(page, text):
    for code in CODE.findall(text):
        if code.startswith(TOP) and "NAME" not in code and re.fullmatch(r"[\w./*{},-]+", code):
            if not any(list(folder.glob(braced(code))) for folder in (ROOT, page.parent)):
                yield f"`{code}`: no such file"


def braced(code):
    """Of `a/{b,c}` the first: enough to see that the folder is there."""
    return re.sub(r"\{([^,}]+)[^}]*\}", r"\1", code).rstrip("/")


def tests(text):
    for file, names in TESTS.findall(text):
        if (ROOT / file).exists():
            source = (ROOT / file).read_text()
            yield from (f"{file} has no test {name}" for name in CODE.findall(names) if f"fn {name}(" not in source)


def types(text):
    """Names like `BatchBuilder` must be types of ours."""
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)*)`", text)) - {"Drop"}
    for name in sorted(named):
        pattern = rf"\b(struct|enum|trait|type) {name}\b|^    {name} \{{$"  # The last: in `vocabulary!`.
        if subprocess.run(["git", "grep", "-qE", pattern, "--", "*.rs"], cwd=ROOT, check=False).returncode:
            yield f"`{name}`: no such type"


def unlisted_decisions():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("2*.md")):
        if f"({page.name})" not in index:
            yield f"docs/decisions/README.md: {page.name} is not listed"


def code_map():
    """Every crate of the workspace is in ARCHITECTURE's code map, and depends on crates above it there only."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text.split("## Code map")[1].split("**The wings")[0], re.M)
    order = [folder.rstrip("/") for row in rows for folder in CODE.findall(row)]
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    folders = {name: one["path"] for name, one in manifest["dependencies"].items() if isinstance(one, dict) and "path" in one}
    for member in manifest["members"]:
        if member not in order:
            yield f"ARCHITECTURE.md: {member} is not in the code map"
            continue
        needs = tomllib.loads((ROOT / member / "Cargo.toml").read_text()).get("dependencies", {})
        for needed in (folders[name] for name in needs if name in folders):
            if needed in order and order.index(needed) > order.index(member):
                yield f"ARCHITECTURE.md: {member} depends on {needed}, which stands below it in the code map"


def question(path):
    """A row of docs/queries.md, from the comments at the head of a question's file."""
    text = path.read_text()
    title, who, then = (re.search(rf"^-- {key}: (.+)$", text, re.M)[1] for key in ("title", "asked-by", "then"))
    params = re.findall(r"^--   (\w+) \(\w+, (?:default )?(\w+)\):", text, re.M)
    return f"| `{path.stem}` | {', '.join(f'{name} ({need})' for name, need in params)} | {title} | {who} | {then} |"


def place(path):
    """Where a question stands in the list: by its order, and those without one last, by name."""
    order = re.match(r"-- order: (\d+)$", path.read_text(), re.M)
    return int(order[1]) if order else float("inf"), path.stem


def with_questions(text):
    """docs/queries.md with the list of questions as it must be."""
    head = "| question | parameters | answers | asked by | then |\n|---|---|---|---|---|\n"
    before, rest = text.split(head)
    after = rest[len(re.match(r"(?:\|.*\n)*", rest)[0]):]
    rows = [question(path) for path in sorted((ROOT / "queries" / "questions").glob("*.sql"), key=place)]
    return before + head + "\n".join(rows) + "\n" + after


def stale_questions(write):
    page = ROOT / "docs" / "queries.md"
    if (fresh := with_questions(page.read_text())) != page.read_text():
        if not write:
            yield "docs/queries.md: the list of questions is stale; run scripts/check-docs.py --write"
        else:
            page.write_text(fresh)


def main():
    wrong = [*stale_questions("--write" in sys.argv), *unlisted_decisions(), *code_map()]
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split():
        page = ROOT / name
        # What was decided once may name files that are gone.
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        found = [*links(page, text)]
        if not name.startswith("docs/decisions/"):
            found += [*paths(page, text), *tests(text)]
        if name in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
            found += types(text)
        wrong += [f"{name}: {one}" for one in found]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
