"""Holds every example of a configuration against the JSON Schema that `loadline config --schema` prints.

    examples.py SCHEMA.json

Examples are the blocks of TOML in the documents, but for those with a test of their own (scenarios), and every file below deploy/ that
ends in .toml. They are also run through `loadline check`; this is for editors, which know nothing but the schema.
"""

import json
import pathlib
import re
import sys
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- test: \w+ -->\n)?```toml\n(.*?)```", re.DOTALL)


def examples():
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            if not block[1]:
                yield f"{path.name}:{text.count(chr(10), 0, block.start(2)) + 1}", block[2]
    for path in sorted((ROOT / "deploy").rglob("*.toml")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
mistakes, count = [], 0
for place, text in examples():
    count += 1
    mistakes += [f"{place}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]
for wrong in ("[queue]\ntimout = '5s'", "[queue]\ntimeout = 'soon'", "[limit]\nconcurrency = 0"):
    if validator.is_valid(tomllib.loads(wrong)):
        mistakes.append(f"the schema takes {wrong!r}")
if mistakes:
    sys.exit("\n".join(mistakes))
print(f"ok  {count} examples")
