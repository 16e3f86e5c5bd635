"""Reads Prometheus rule files without a YAML library. It knows the part of YAML that our rules use, and refuses the rest."""

import collections
import json
import re

Rule = collections.namedtuple("Rule", "file group record alert expr labels annotations")

KEY = re.compile(r"^( *)(- )?([a-z_]+):(?: (.*))?$")


def read(path):
    """Returns the rules of a file. Raises ValueError with the line that it does not understand."""
    lines = path.read_text().splitlines()
    rules, group, fields, section, number = [], None, None, None, 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = KEY.match(line)
        if not match:
            raise ValueError(f"{path}:{number}: not understood: {line.strip()}")
        indent, item, key, value = len(match[1]), match[2], match[3], match[4] or ""
        if value == "|":
            value, number = _block(lines, number, indent + (2 if item else 0))
        value = _scalar(value)
        if item and key == "name":
            group = value
        elif item and key in ("record", "alert"):
            fields = {"record": None, "alert": None, "expr": None, "labels": {}, "annotations": {}, key: value}
            rules.append((group, fields))
        elif key in ("labels", "annotations") and not value:
            section = fields[key]
        elif indent == 8 and key in ("expr", "for", "keep_firing_for"):
            fields[key] = value
        elif indent == 10 and section is not None:
            section[key] = value
        elif key not in ("groups", "rules", "interval"):
            raise ValueError(f"{path}:{number}: unexpected key {key}")
    return [Rule(path.name, name, f["record"], f["alert"], f["expr"], f["labels"], f["annotations"]) for name, f in rules]


def _block(lines, number, indent):
    """Returns the text of the `|` block that starts at line `number`, and the number of the line after it."""
    block = []
    while number < len(lines) and (not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > indent):
        block.append(lines[number].strip())
        number += 1
    return "\n".join(block).strip(), number


def _scalar(text):
    if text.startswith('"'):
        return json.loads(text)
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text
