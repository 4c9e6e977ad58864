"""Providers of five dialects, written from their documentation: each reads a request and writes an answer in its own words.

A provider module has `model(path, body)` (who is asked for a chat), `streams(path, body)`, `read(body)` (what was asked, as
`scenarios.py` says it), `reply(answer, model)`, `stream(answer, model)` (the events, as bytes), `broken()` (the event that tells
an error amid a stream) and `error(status)` (headers and body); where it embeds, `inputs(path, body)` and `vectors(vectors)`.
"""

import json
from itertools import count

NUMBERS = count(1)


def minted(prefix):
    """An id that no other answer has: some frameworks know messages by them."""
    return f"{prefix}{next(NUMBERS)}"


def pieces(text, size=5):
    """A text in pieces that fall where they fall."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def sse(data, event=None, end="\n\n"):
    """An event of a stream, in bytes."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}{end}".encode()


def asked(system, turns, tools, form, **more):
    """A request as scenarios say it, less what it does not say; beside it the schemas of its tools and of its answer."""
    tools = dict(tools)
    said = {"system": system, "turns": turns, "tools": list(tools), "form": form and sorted(form.get("properties", {})), **more}
    return {name: value for name, value in said.items() if value not in (None, "", [], False)}, tools, form


def turn(role, parts):
    """A turn: texts that follow each other are one, and so are turns of tools."""
    joined = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return {"role": role, "parts": joined}


def merged(turns):
    """Turns of tools that follow each other are one."""
    out = []
    for one in turns:
        if one["role"] == "tool" and out and out[-1]["role"] == "tool":
            out[-1]["parts"] += one["parts"]
        else:
            out.append(one)
    return out


def data_url(url):
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64", head
    return {"image": data}
