"""Cohere's SDK for Python, the second version of its API."""

import json
from importlib.metadata import version

import cohere
from cohere.core.api_error import ApiError
from table import FORM, KEY, TOOLS, URL, Told, run

NAME = f"cohere for Python {version('cohere')}"
SPEAKS = {"cohere"}
CANNOT = {"must-call-one": "this API has no word for a choice of one tool"}
BLIND = set()
FINISH = {"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "calls", "ERROR_TOXIC": "filter"}
client = cohere.ClientV2(api_key=KEY, base_url=URL + "/cohere", timeout=20, log_warning_experimental_features=False)


def messages(ask):
    if "system" in ask:
        yield {"role": "system", "content": ask["system"]}
    for turn in ask["turns"]:
        parts = turn["parts"]
        if turn["role"] == "tool":
            for part in parts:
                yield {"role": "tool", "tool_call_id": part["result"], "content": part["text"]}
        else:
            calls = [call_of(part["call"]) for part in parts if isinstance(part, dict) and "call" in part]
            said = [content(part) for part in parts if isinstance(part, str) or "image" in part]
            yield {"role": turn["role"]} | ({"content": said} if said else {}) | ({"tool_calls": calls} if calls else {})


def content(part):
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{part['image']}"}}


def call_of(call):
    made = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": made}


def fields(ask):
    names = [("p", "top_p"), ("stop_sequences", "stop"), ("max_tokens", "max_tokens"), ("temperature", "temperature")]
    out = {name: ask[one] for name, one in names if one in ask}
    if "tools" in ask:
        about = lambda name: {"name": name, "description": TOOLS[name]["description"], "parameters": TOOLS[name]["schema"]}
        out["tools"] = [{"type": "function", "function": about(name)} for name in ask["tools"]]
    if "choice" in ask:
        out["tool_choice"] = "REQUIRED"
    if "form" in ask:
        out["response_format"] = {"type": "json_object", "json_schema": FORM}
    if "thinks" in ask:
        out["thinking"] = {"type": "enabled", "token_budget": 1024}
    return out


def ask(model, ask, stream):
    said = {"model": model, "messages": list(messages(ask)), "request_options": {"max_retries": 0}, **fields(ask)}
    try:
        return streamed(client.chat_stream(**said)) if stream else whole(client.chat(**said))
    except ApiError as error:
        body = error.body if isinstance(error.body, dict) else json.loads(error.body)
        raise Told(error.status_code, body["code"]) from error


def whole(reply):
    content = reply.message.content or []
    return answer(
        "".join(part.text for part in content if part.type == "text"),
        "".join(part.thinking for part in content if part.type == "thinking"),
        [(call.function.name, call.function.arguments) for call in reply.message.tool_calls or []],
        reply.finish_reason,
        reply.usage,
    )


def streamed(events):
    text, reasoning, calls, end = "", "", {}, None
    for event in events:
        match event.type:
            case "content-delta":
                text += event.delta.message.content.text or ""
                reasoning += event.delta.message.content.thinking or ""
            case "tool-call-start":
                made = event.delta.message.tool_calls.function
                calls[event.index] = [made.name, made.arguments or ""]
            case "tool-call-delta":
                calls[event.index][1] += event.delta.message.tool_calls.function.arguments
            case "message-end":
                end = event.delta
    if end.finish_reason == "ERROR":
        # This API's streams have no place for a code.
        assert end.error == "the provider's stream ended before its end", end
        raise Told(None, "upstream-broken")
    return answer(text, reasoning, calls.values(), end.finish_reason, end.usage)


def answer(text, reasoning, calls, finish, usage):
    return {
        "text": text,
        "reasoning": reasoning,
        "calls": [{"name": name, "arguments": json.loads(arguments)} for name, arguments in calls],
        "finish": FINISH[finish],
        "usage": {
            "input": int(usage.tokens.input_tokens),
            "output": int(usage.tokens.output_tokens),
            "cached": int(usage.cached_tokens or 0),
        },
    }


if __name__ == "__main__":
    run(__import__("__main__"))
