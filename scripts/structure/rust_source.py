"""Reads Rust text: blanks comments, strings and tests, and finds the paths into the own crate."""

import re

# Comments and literals. A lifetime looks like the start of a character, so a character must end at once.
NOT_CODE = re.compile(
    r"""(?P<line>//[^\n]*)"""
    r"""|(?P<block>/\*)"""
    r"""|(?P<raw>b?r(?P<hashes>\#*)")"""
    r"""|(?P<string>b?"(?:[^"\\]|\\.)*")"""
    r"""|(?P<char>b?'(?:[^'\\\n]|\\[^\n]{1,10}?)')""",
    re.S,
)
TESTS = re.compile(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{")
PATH = re.compile(r"(?<![\w:])(\$?crate|super|self)\s*::")


def code(text):
    """Returns `text` with comments, strings and modules of tests blanked; lines keep their numbers."""
    parts, at = [], 0
    for start, end in _not_code(text):
        parts += [text[at:start], _blank(text[start:end])]
        at = end
    return _without_tests("".join(parts) + text[at:])


def _not_code(text):
    at = 0
    while match := NOT_CODE.search(text, at):
        at = match.end()
        if match["block"]:
            at = _end_of_block_comment(text, match.end())
        elif match["raw"]:
            closing = text.find('"' + match["hashes"], match.end())
            at = len(text) if closing < 0 else closing + 1 + len(match["hashes"])
        yield match.start(), at


def _end_of_block_comment(text, at):
    """Block comments nest in Rust."""
    depth = 1
    while depth and (match := re.compile(r"/\*|\*/").search(text, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return len(text) if depth else at


def _without_tests(text):
    while match := TESTS.search(text):
        end, depth = match.end(), 1
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: match.start()] + _blank(text[match.start() : end]) + text[end:]
    return text


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def own_paths(text, module):
    """Yields (line, path from the crate's root) for each path in `text` that begins with crate, super or self. `module` is the path of
    the module that holds `text`. A group yields each of its members."""
    for match in PATH.finditer(text):
        # Visibility names a module, and imports nothing.
        if re.search(r"pub\s*\(\s*in\s*$", text[: match.start()]):
            continue
        start = {"super": module[:-1], "self": module}.get(match[1], [])
        found, _ = _tree(text, match.end(), start, match[1] == "super")
        for path, at in found:
            yield text.count("\n", 0, at) + 1, path


def _tree(text, at, prefix, may_rise):
    """Reads a member of a use tree, or a path in an expression. Returns its paths, each with its end, and the end of the whole."""
    path = list(prefix)
    while True:
        at = re.compile(r"\s*").match(text, at).end()
        if text[at : at + 1] == "{":
            return _group(text, at + 1, path, may_rise)
        if text[at : at + 1] == "*":
            return [(path, at)], at + 1
        word = re.compile(r"(?:r#)?(\w+)").match(text, at)
        if not word:
            return [(path, at)], at
        at = word.end()
        if word[1] == "super" and may_rise:
            path = path[:-1]
        elif word[1] != "self":
            path.append(word[1])
            may_rise = False
        more = re.compile(r"\s*::").match(text, at)
        if not more:
            return [(path, at)], at
        at = more.end()


def _group(text, at, prefix, may_rise):
    found = []
    while at < len(text):
        at = re.compile(r"[\s,]*").match(text, at).end()
        if text[at : at + 1] == "}":
            return found, at + 1
        paths, end = _tree(text, at, prefix, may_rise)
        found += paths
        # `as name`, or something that is no use tree.
        end = re.compile(r"\s*(?:as\s+\w+)?").match(text, end).end()
        if end <= at:
            break
        at = end
    return found, at
