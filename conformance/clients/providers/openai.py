"""OpenAI's chat completions (platform.openai.com/docs/api-reference/chat)."""

import json

from . import asked, data_url, merged, minted, pieces, sse, turn

CREATED = 1767614400
FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls", "filter": "content_filter"}
KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def model(path, body):
    return body["model"] if path.endswith("/chat/completions") else None


def streams(path, body):
    return body.get("stream", False)


def read(body):
    system, turns = [], []
    for message in body["messages"]:
        content = message.get("content") or []
        parts = [content] if isinstance(content, str) else [part_of(part) for part in content]
        match message["role"]:
            case "system" | "developer":
                system += parts
            case "tool":
                turns.append(turn("tool", [{"result": message["tool_call_id"], "text": "".join(parts)}]))
            case role:
                calls = [call_of(call) for call in message.get("tool_calls") or []]
                turns.append(turn(role, parts + calls))
    choice = body.get("tool_choice")
    wanted = body.get("response_format", {})
    form = {"type": "object"} if wanted.get("type") == "json_object" else wanted.get("json_schema", {}).get("schema")
    return asked(
        "".join(system),
        merged(turns),
        [(tool["function"]["name"], tool["function"].get("parameters", {})) for tool in body.get("tools", [])],
        form,
        choice={"required": "any", "auto": None}.get(choice, choice) if isinstance(choice, str) or not choice else choice["function"]["name"],
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=body.get("stop"),
        thinks="reasoning_effort" in body,
    )


def inputs(path, body):
    return body["input"] if path.endswith("/embeddings") else None


def vectors(vectors):
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def part_of(part):
    return part["text"] if part["type"] == "text" else data_url(part["image_url"]["url"])


def call_of(call):
    made = call["function"]
    return {"call": {"id": call["id"], "name": made["name"], "arguments": json.loads(made["arguments"])}}


def usage(spent):
    return {
        "prompt_tokens": spent["input"],
        "completion_tokens": spent["output"],
        "total_tokens": spent["input"] + spent["output"],
        "prompt_tokens_details": {"cached_tokens": spent["cached"], "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def reply(answer, model):
    message = {"role": "assistant", "content": answer["text"] or None, "refusal": None, "annotations": []}
    if not answer["calls"] and not answer["text"]:
        message["content"] = ""
    if answer["reasoning"]:
        message["reasoning_content"] = answer["reasoning"]
    if answer["calls"]:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            for call in answer["calls"]
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[answer["finish"]]}
    return {
        "id": minted("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": usage(answer["usage"]),
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def stream(answer, model):
    id = minted("chatcmpl-")

    def chunk(delta, finish=None, **more):
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        head = {"id": id, "object": "chat.completion.chunk", "created": CREATED, "model": model}
        return sse({**head, "choices": choices, "usage": None, **more})

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces(answer["reasoning"]):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(answer["text"]):
        yield chunk({"content": piece})
    for index, call in enumerate(answer["calls"]):
        made = {"name": call["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": made}]})
        for piece in pieces(json.dumps(call["arguments"])):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, FINISH[answer["finish"]])
    yield chunk({}, choices=[], usage=usage(answer["usage"]))
    yield sse("[DONE]")


def broken():
    return sse({"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}})


def error(status):
    kind, code = KINDS.get(status, ("server_error", None))
    return {}, {"error": {"message": f"scripted {status}", "type": kind, "param": None, "code": code}}
