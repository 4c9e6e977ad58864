"""Anthropic's messages (platform.claude.com/docs/en/api/messages)."""

import json

from . import asked, merged, minted, pieces, sse, turn

FINISH = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "filter": "refusal"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def model(path, body):
    return body["model"] if path.endswith("/v1/messages") else None


def streams(path, body):
    return body.get("stream", False)


def read(body):
    turns = []
    for message in body["messages"]:
        content = message["content"]
        parts = [content] if isinstance(content, str) else [part_of(part) for part in content]
        results = [part for part in parts if isinstance(part, dict) and "result" in part]
        rest = [part for part in parts if part not in results]
        if results:
            turns.append(turn("tool", results))
        if rest or not results:
            turns.append(turn(message["role"], rest))
    system = body.get("system", "")
    form = body.get("output_config", {}).get("format", {}).get("schema")
    choice = body.get("tool_choice", {})
    return asked(
        system if isinstance(system, str) else "".join(part["text"] for part in system),
        merged(turns),
        [(tool["name"], tool["input_schema"]) for tool in body.get("tools", [])],
        form,
        choice=choice.get("name") or {"any": "any", "none": "none"}.get(choice.get("type")),
        max_tokens=body["max_tokens"],
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=body.get("stop_sequences"),
        thinks=body.get("thinking", {}).get("type") in ("enabled", "adaptive"),
    )


def part_of(part):
    match part["type"]:
        case "text":
            return part["text"]
        case "image":
            assert part["source"]["media_type"] == "image/png", part
            return {"image": part["source"]["data"]}
        case "thinking":
            return {"thought": part["thinking"], "signature": part["signature"]}
        case "tool_use":
            return {"call": {"id": part["id"], "name": part["name"], "arguments": part["input"]}}
        case "tool_result":
            said = part["content"]
            text = said if isinstance(said, str) else "".join(one["text"] for one in said)
            return {"result": part["tool_use_id"], "text": text}
        case other:
            raise ValueError(other)


def usage(spent):
    return {
        "input_tokens": spent["input"] - spent["cached"],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": spent["cached"],
        "output_tokens": spent["output"],
        "service_tier": "standard",
    }


def blocks(answer):
    """The blocks of an answer: how each begins, its deltas, and how it stands whole."""
    out = []
    if answer["reasoning"]:
        begin = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(answer["reasoning"])]
        deltas.append({"type": "signature_delta", "signature": answer["signature"]})
        whole = {"type": "thinking", "thinking": answer["reasoning"], "signature": answer["signature"]}
        out.append((begin, deltas, whole))
    if answer["text"]:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(answer["text"])]
        out.append(({"type": "text", "text": ""}, deltas, {"type": "text", "text": answer["text"]}))
    for call in answer["calls"]:
        begin = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
        spelt = ["", *pieces(json.dumps(call["arguments"], ensure_ascii=False))]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in spelt]
        out.append((begin, deltas, {**begin, "input": call["arguments"]}))
    return out


def reply(answer, model):
    return {
        "id": minted("msg_"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [whole for _, _, whole in blocks(answer)],
        "stop_reason": FINISH[answer["finish"]],
        "stop_sequence": None,
        "usage": usage(answer["usage"]),
    }


def stream(answer, model):
    def event(kind, **data):
        return sse({"type": kind, **data}, event=kind)

    start = reply({**answer, "text": "", "reasoning": "", "calls": []}, model)
    start |= {"stop_reason": None, "usage": {**usage(answer["usage"]), "output_tokens": 1}}
    yield event("message_start", message=start)
    yield event("ping")
    for index, (begin, deltas, _) in enumerate(blocks(answer)):
        yield event("content_block_start", index=index, content_block=begin)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": FINISH[answer["finish"]], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage={"output_tokens": answer["usage"]["output"]})
    yield event("message_stop")


def broken():
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return sse(said, event="error")


def error(status):
    kind = KINDS.get(status, "api_error")
    said = {"type": "error", "error": {"type": kind, "message": f"scripted {status}"}, "request_id": "req_1"}
    return {"request-id": "req_1"}, said
