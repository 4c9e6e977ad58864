"""A model that does what it is asked, by rule: it fills forms, calls the tool that is meant, and repeats what tools and users say.

For frameworks, which ask for more than scenarios foresee.
"""

import json
import re


def answer(asked, tools, form):
    """The answer to a request, as scenarios say it."""
    last = asked["turns"][-1]
    words = " ".join(part if isinstance(part, str) else part.get("text", "") for part in last["parts"])
    choice = asked.get("choice")
    if form:
        return said(asked, json.dumps(sample(form, form, words)))
    if tools and choice != "none" and (choice or last["role"] == "user"):
        meant = [name for name in tools if name in words]
        name = choice if choice in tools else (meant or list(tools))[0]
        call = {"id": f"call_{len(asked['turns'])}", "name": name, "arguments": sample(tools[name], tools[name], words)}
        return said(asked, "", [call])
    text = f"It says: {words}"
    for stop in asked.get("stop", []):
        text = text.partition(stop)[0]
    return said(asked, text)


def said(asked, text, calls=()):
    usage = {"input": 1 + len(json.dumps(asked)) // 4, "output": 1 + len(text) // 4 + 9 * len(calls), "cached": 0}
    finish = "calls" if calls else "stop"
    return {"text": text, "calls": list(calls), "finish": finish, "reasoning": "", "signature": "", "usage": usage}


def sample(schema, root, words):
    """A value that fits a schema, with what is quoted or counted in the words."""
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root, words)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return sample(next(one for one in schema[name] if one.get("type") != "null"), root, words)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    kind = (kind if isinstance(kind, str) else next(one for one in kind if one != "null")).lower()
    match kind:
        case "object":
            if not (fields := schema.get("properties")):
                return dict.fromkeys(re.findall(r"'(\w+)'", words), words[:60]) if schema is root else {}
            return {name: sample(one, root, words) for name, one in fields.items()}
        case "array":
            return [sample(schema.get("items", {"type": "string"}), root, words)]
        case "integer" | "number":
            return int((re.findall(r"\d+", words) or ["1"])[0])
        case "boolean":
            return True
        case _:
            return (re.findall(r"'([^']+)'", words) or [words[:60]])[0]
