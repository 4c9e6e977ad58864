"""Anthropic's SDK for Python."""

import anthropic
from table import FORM, KEY, TOOLS, URL, Told, run

NAME = f"anthropic for Python {anthropic.__version__}"
SPEAKS = {"anthropic"}
CANNOT = {}
BLIND = set()
FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "calls", "refusal": "filter"}
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)


def block(part):
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if "image" in part:
        source = {"type": "base64", "media_type": "image/png", "data": part["image"]}
        return {"type": "image", "source": source}
    if "call" in part:
        call = part["call"]
        return {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["arguments"]}
    return {"type": "tool_result", "tool_use_id": part["result"], "content": part["text"]}


def fields(ask):
    out = {"system": ask["system"]} if "system" in ask else {}
    # The SDK has no arguments for these any more; the API takes them for models that have them.
    out["extra_body"] = {name: ask[name] for name in ("temperature", "top_p") if name in ask}
    if "stop" in ask:
        out["stop_sequences"] = ask["stop"]
    if "tools" in ask:
        about = lambda name: {"description": TOOLS[name]["description"], "input_schema": TOOLS[name]["schema"]}
        out["tools"] = [{"name": name, **about(name)} for name in ask["tools"]]
    if choice := ask.get("choice"):
        out["tool_choice"] = {"type": "any"} if choice == "any" else {"type": "tool", "name": choice}
    if "form" in ask:
        out["output_config"] = {"format": {"type": "json_schema", "schema": FORM}}
    if "thinks" in ask:
        out["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return out


def ask(model, ask, stream):
    role = {"user": "user", "assistant": "assistant", "tool": "user"}
    turns = [{"role": role[turn["role"]], "content": [block(part) for part in turn["parts"]]} for turn in ask["turns"]]
    # The API wants a limit; 32000 is what the scenario's silence is taken for.
    said = {"model": model, "messages": turns, "max_tokens": ask.get("max_tokens", 32000), **fields(ask)}
    try:
        if not stream:
            return whole(client.messages.create(**said))
        with client.messages.stream(**said) as events:
            words = "".join(event.text for event in events if event.type == "text")
            got = whole(events.get_final_message())
        assert words == got["text"], (words, got)
        return got
    except anthropic.APIStatusError as error:
        raise Told(error.status_code, error.error_code) from error


def whole(reply):
    usage = reply.usage
    cached = usage.cache_read_input_tokens or 0
    return {
        "text": "".join(part.text for part in reply.content if part.type == "text"),
        "reasoning": "".join(part.thinking for part in reply.content if part.type == "thinking"),
        "calls": [{"name": part.name, "arguments": part.input} for part in reply.content if part.type == "tool_use"],
        "finish": FINISH[reply.stop_reason],
        "usage": {"input": usage.input_tokens + cached, "output": usage.output_tokens, "cached": cached},
    }


if __name__ == "__main__":
    run(__import__("__main__"))
