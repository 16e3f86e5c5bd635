"""Graphs of imports, and the circles in them."""

import collections
import pathlib
import re

from . import rust_source

ROOT = "(root)"
EXTERNAL = "(another crate)"
# An arrow of a graph: who imports whom, and the line that does.
Arrow = collections.namedtuple("Arrow", "tail head file line text")


def arrows_of_crates(packages):
    """Yields the dependencies between crates of the workspace, also those of tests."""
    names = {package["name"] for package in packages}
    for package in packages:
        manifest = pathlib.Path(package["manifest_path"])
        lines = manifest.read_text().splitlines()
        for dependency in package["dependencies"]:
            name = dependency["name"]
            if name in names and name != package["name"]:
                number = next((i for i, line in enumerate(lines, 1) if re.match(rf"{re.escape(name)}\b", line)), 1)
                yield Arrow(package["name"], name, manifest, number, lines[number - 1].strip())


def arrows_of_wings(source):
    """Yields the imports between the wings of a crate. A wing is a folder or a file at the top of `source`; lib.rs and main.rs are
    the root. Declaring a module, or exporting its names again, is no import."""
    files = [path for path in sorted(source.rglob("*.rs")) if "bin" not in path.relative_to(source).parts[:1]]
    wings = {path.stem if path.parent == source else path.relative_to(source).parts[0] for path in files} - {"lib", "main"}
    texts = {path: rust_source.code(path.read_text()) for path in files}
    exported = {}
    for root in ("lib.rs", "main.rs"):
        exported.update(_exports(texts.get(source / root, ""), wings))
    for path, text in texts.items():
        module = _module(path.relative_to(source))
        tail = module[0] if module else ROOT
        lines = path.read_text().splitlines()
        for number, imported in _imports(text, module, wings):
            head = imported[0] if imported else ROOT
            head = head if head in wings else exported.get(head, ROOT)
            if imported and head not in (tail, EXTERNAL):
                yield Arrow(tail, head, path, number, lines[number - 1].strip())


def _imports(text, module, wings):
    yield from rust_source.own_paths(text, module)
    if not module:
        # The root names its modules without `crate::`.
        body = re.sub(r"\bpub(\([^)]*\))?\s+use\b[^;]*;", lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        for match in re.finditer(r"(?<![\w:.])([a-z]\w*)::", body):
            if match[1] in wings:
                yield text.count("\n", 0, match.start()) + 1, [match[1]]


def _exports(text, wings):
    """Returns the origin of each name that the root imports or exports again: a wing, or EXTERNAL for another crate."""
    found = {}
    for match in re.finditer(r"\buse\s+(?:crate\s*::\s*|self\s*::\s*)?([a-z]\w*)\b([^;]*);", text):
        origin = match[1] if match[1] in wings else EXTERNAL
        found.update({name: origin for name in re.findall(r"\w+", match[2])})
    return found


def _module(relative):
    parts = list(relative.with_suffix("").parts)
    if parts[-1] in ("mod", "lib", "main"):
        parts.pop()
    return parts


def circles(arrows):
    """Returns the shortest circle of each knot of the graph, each as a list of arrows."""
    graph = collections.defaultdict(dict)
    for arrow in arrows:
        graph[arrow.tail].setdefault(arrow.head, arrow)
    found = []
    for knot in _knots(graph):
        shortest = min((_way_back(graph, node, knot) for node in sorted(knot)), key=len)
        found.append(shortest)
    return found


def _knots(graph):
    """Returns the sets of nodes that reach each other."""
    reach = {node: _reach(graph, node) for node in list(graph)}
    seen, knots = set(), []
    for node in sorted(graph):
        knot = {other for other in reach[node] if node in reach.get(other, ())}
        if knot and node not in seen:
            seen |= knot
            knots.append(knot)
    return knots


def _reach(graph, start):
    found, left = set(), [start]
    while left:
        for head in graph.get(left.pop(), ()):
            if head not in found:
                found.add(head)
                left.append(head)
    return found


def _way_back(graph, start, knot):
    """Returns the arrows of the shortest way from `start` back to itself."""
    ways = collections.deque([[arrow] for head, arrow in sorted(graph[start].items()) if head in knot])
    seen = set()
    while ways:
        way = ways.popleft()
        node = way[-1].head
        if node == start:
            return way
        if node not in seen:
            seen.add(node)
            ways.extend(way + [arrow] for head, arrow in sorted(graph[node].items()) if head in knot)
    return []
