"""Cohere's chat, version 2 (docs.cohere.com/reference/chat)."""

import json

from . import asked, data_url, merged, minted, pieces, sse, turn

# Version 2 has no word for what a filter stopped; version 1 had this one.
FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "calls": "TOOL_CALL", "filter": "ERROR_TOXIC"}


def model(path, body):
    return body["model"] if path.endswith("/v2/chat") else None


def streams(path, body):
    return body.get("stream", False)


def read(body):
    system, turns = [], []
    for message in body["messages"]:
        content = message.get("content") or []
        parts = [content] if isinstance(content, str) else [part_of(part) for part in content]
        match message["role"]:
            case "system":
                system += parts
            case "tool":
                turns.append(turn("tool", [{"result": message["tool_call_id"], "text": "".join(parts)}]))
            case role:
                calls = [call_of(call) for call in message.get("tool_calls") or []]
                turns.append(turn(role, parts + calls))
    form = body.get("response_format", {}).get("json_schema")
    return asked(
        "".join(system),
        merged(turns),
        [(tool["function"]["name"], tool["function"].get("parameters", {})) for tool in body.get("tools", [])],
        form,
        choice={"REQUIRED": "any", "NONE": "none"}.get(body.get("tool_choice")),
        max_tokens=body.get("max_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("p"),
        stop=body.get("stop_sequences"),
        thinks=body.get("thinking", {}).get("type") == "enabled",
    )


def inputs(path, body):
    return body["texts"] if path.endswith("/v2/embed") else None


def vectors(vectors):
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}}
    return {"id": "e1", "embeddings": {"float": vectors}, "texts": [], "meta": meta, "response_type": "embeddings_by_type"}


def part_of(part):
    return part["text"] if part["type"] == "text" else data_url(part["image_url"]["url"])


def call_of(call):
    made = call["function"]
    return {"call": {"id": call["id"], "name": made["name"], "arguments": json.loads(made["arguments"])}}


def usage(spent):
    counts = {"input_tokens": spent["input"], "output_tokens": spent["output"]}
    return {"billed_units": counts, "tokens": counts, "cached_tokens": spent["cached"]}


def reply(answer, model):
    message = {"role": "assistant", "content": []}
    if answer["reasoning"]:
        message["content"].append({"type": "thinking", "thinking": answer["reasoning"]})
    if answer["text"]:
        message["content"].append({"type": "text", "text": answer["text"]})
    if answer["calls"]:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            for call in answer["calls"]
        ]
    return {"id": minted("c"), "message": message, "finish_reason": FINISH[answer["finish"]], "usage": usage(answer["usage"])}


def stream(answer, model):
    def event(kind, index=None, **data):
        at = {} if index is None else {"index": index}
        return sse({"type": kind, **at, **data}, event=kind)

    def message(kind, index, **message):
        return event(kind, index, delta={"message": message})

    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield event("message-start", id=minted("c"), delta={"message": empty})
    contents = [("thinking", answer["reasoning"]), ("text", answer["text"])]
    for index, (kind, text) in enumerate([one for one in contents if one[1]]):
        yield message("content-start", index, content={"type": kind, kind: ""})
        for piece in pieces(text):
            yield message("content-delta", index, content={kind: piece})
        yield event("content-end", index)
    for index, call in enumerate(answer["calls"]):
        made = {"name": call["name"], "arguments": ""}
        yield message("tool-call-start", index, tool_calls={"id": call["id"], "type": "function", "function": made})
        for piece in pieces(json.dumps(call["arguments"])):
            yield message("tool-call-delta", index, tool_calls={"function": {"arguments": piece}})
        yield event("tool-call-end", index)
    yield event("message-end", delta={"finish_reason": FINISH[answer["finish"]], "usage": usage(answer["usage"])})


def broken():
    said = {"type": "message-end", "delta": {"error": "the model failed", "finish_reason": "ERROR"}}
    return sse(said, event="message-end")


def error(status):
    return {}, {"id": "e1", "message": f"scripted {status}"}
