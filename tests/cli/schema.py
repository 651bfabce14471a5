"""What the tools print with --json, held against docs/json.schema.json; where Python has jsonschema."""
import functools
import json
import os
import pathlib

try:
    import jsonschema
except ImportError:
    jsonschema = None

DOCS = pathlib.Path(os.environ["OPLOG_SOURCE"]) / "docs"
SCHEMA = json.loads((DOCS / "json.schema.json").read_text(encoding="utf-8"))


@functools.cache
def validator(kind):
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{kind}"})


def checked(kind, text):
    """The JSON that is printed, of a kind that the schema names."""
    value = json.loads(text)
    if jsonschema:
        validator(kind).validate(value)
    return value
