"""The checks of check-structure.py. Each returns its problems as text."""

import fnmatch
import json
import pathlib
import re
import subprocess

from . import circles, rules, rust_source

# Not ours, or made by a build.
LEFT_OUT = {"target", ".cache", ".git", "node_modules"}


def metadata(root):
    """Returns cargo's metadata of the workspace with the resolved dependencies. Cargo downloads the manifests that are missing."""
    command = ["cargo", "metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu", "--locked"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def folder_of(package, root):
    return pathlib.Path(package["manifest_path"]).parent.relative_to(root).as_posix()


def sources(root, patterns):
    """Returns the files that match a glob, each once."""
    paths = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in paths if not LEFT_OUT & set(path.relative_to(root).parts))


def leaves(root, graph):
    """Returns the crates that build and test in seconds: neither they nor their tests need a heavy crate or start programs."""
    needs = {node["id"]: [dep["pkg"] for dep in node["deps"]] for node in graph["resolve"]["nodes"]}
    members = [package for package in graph["packages"] if package["id"] in graph["workspace_members"]]
    slow = {package["id"] for package in graph["packages"] if package["name"] in rules.HEAVY}
    slow |= {package["id"] for package in members if _is_in(package, root, rules.START_PROGRAMS)}
    return [package["name"] for package in members if not slow & set(_ways(package["id"], needs))]


def _is_in(package, root, folders):
    return any(fnmatch.fnmatch(folder_of(package, root), glob) for glob in folders)


def circles_between_crates(root, packages):
    for_tests = {(rule.crate, rule.uses) for rule in rules.FOR_TESTS}
    arrows = [arrow for arrow in circles.arrows_of_crates(packages) if (arrow.tail, arrow.head) not in for_tests]
    return [_shown(root, "the workspace", circle) for circle in circles.circles(arrows)]


def circles_between_wings(root, packages):
    problems = []
    for package in packages:
        source = pathlib.Path(package["manifest_path"]).parent / "src"
        if source.is_dir():
            found = circles.circles(circles.arrows_of_wings(source))
            problems += [_shown(root, package["name"], circle) for circle in found]
    return problems


def _shown(root, place, circle):
    way = " -> ".join([arrow.tail for arrow in circle] + [circle[0].tail])
    lines = [f"  {arrow.tail} -> {arrow.head}: {arrow.file.relative_to(root)}:{arrow.line}: {arrow.text}" for arrow in circle]
    return "\n".join([f"circle of imports in {place}: {way}"] + lines)


def forbidden_dependencies(root, graph, forbidden=None):
    """Returns each dependency that a rule forbids, with the path to it."""
    names = {package["id"]: package["name"] for package in graph["packages"]}
    needs = {node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
             for node in graph["resolve"]["nodes"]}
    members = set(graph["workspace_members"])
    problems = []
    for package in graph["packages"]:
        if package["id"] not in members:
            continue
        ways = _ways(package["id"], needs)
        for rule in rules.NEVER if forbidden is None else forbidden:
            if _is_in(package, root, rule.folders):
                for found in (id for id in ways if names[id] in rule.crates and id != package["id"]):
                    way = " -> ".join(names[id] for id in ways[found])
                    problems.append(f"{package['name']} depends on {names[found]} ({way}): {rule.why}")
    return problems


def _ways(start, needs):
    """Returns the shortest path from `start` to each crate that it needs."""
    ways, left = {start: [start]}, [start]
    for node in left:
        for needed in needs.get(node, ()):
            if needed not in ways:
                ways[needed] = ways[node] + [needed]
                left.append(needed)
    return ways


def forbidden_names(root, forbidden=None):
    problems = []
    for rule in rules.UNNAMED if forbidden is None else forbidden:
        for path in sources(root, rule.files):
            for number, line in enumerate(rust_source.code(path.read_text()).splitlines(), 1):
                if match := re.search(rule.pattern, line):
                    problems.append(f"{path.relative_to(root)}:{number}: names {match[0]}: {rule.why}")
    return problems


def long_files(root):
    problems = []
    for path in sources(root, rules.SOURCES):
        lines = path.read_text().count("\n")
        if lines > rules.LINES_MAX:
            problems.append(f"{path.relative_to(root)} has {lines} lines; split it by what it holds: {rules.LINES_MAX} are the most")
    return problems
