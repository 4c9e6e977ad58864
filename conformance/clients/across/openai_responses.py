"""OpenAI's SDK for Python, responses: providers are asked for chats, OpenAI's too."""

import json

import openai
from table import FORM, KEY, TOOLS, URL, Told, run

NAME = f"openai for Python {openai.__version__}, responses"
SPEAKS = set()
CANNOT = {"settings": "this API has no stop sequences"}
BLIND = set()
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=20)


def items(ask):
    for turn in ask["turns"]:
        texts, rest = [], []
        for part in turn["parts"]:
            (rest if isinstance(part, dict) and "image" not in part else texts).append(part)
        if texts:
            yield {"role": turn["role"], "content": [content(part, turn["role"]) for part in texts]}
        for part in rest:
            if "call" in part:
                call = part["call"]
                spelt = json.dumps(call["arguments"])
                yield {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": spelt}
            else:
                yield {"type": "function_call_output", "call_id": part["result"], "output": part["text"]}


def content(part, role):
    if isinstance(part, str):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part}
    return {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{part['image']}"}


def fields(ask):
    out = {name: ask[name] for name in ("temperature", "top_p") if name in ask}
    if "system" in ask:
        out["instructions"] = ask["system"]
    if "max_tokens" in ask:
        out["max_output_tokens"] = ask["max_tokens"]
    if "tools" in ask:
        about = lambda name: {"description": TOOLS[name]["description"], "parameters": TOOLS[name]["schema"]}
        out["tools"] = [{"type": "function", "name": name, "strict": False, **about(name)} for name in ask["tools"]]
    if choice := ask.get("choice"):
        out["tool_choice"] = "required" if choice == "any" else {"type": "function", "name": choice}
    if "form" in ask:
        out["text"] = {"format": {"type": "json_schema", "name": "person", "schema": FORM, "strict": True}}
    if "thinks" in ask:
        out["reasoning"] = {"effort": "low", "summary": "auto"}
    return out


def ask(model, ask, stream):
    said = {"model": model, "input": list(items(ask)), "store": False, **fields(ask)}
    try:
        return streamed(said) if stream else whole(client.responses.create(**said))
    except openai.APIError as error:
        raise Told(getattr(error, "status_code", None), error.code) from error


def streamed(said):
    """The response at the end, which the deltas must have told already."""
    text, reasoning, arguments, last = "", "", {}, None
    for number, event in enumerate(client.responses.create(**said, stream=True)):
        assert event.sequence_number == number, event
        match event.type:
            case "response.output_text.delta":
                text += event.delta
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                reasoning += event.delta
            case "response.function_call_arguments.delta":
                arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
            case "error":
                raise Told(None, event.code)
            case "response.failed":
                raise Told(None, event.response.error.code)
        last = event
    assert last.type in ("response.completed", "response.incomplete"), last
    got = whole(last.response)
    assert (text, reasoning) == (got["text"], got["reasoning"]), (text, reasoning, got)
    assert [json.loads(spelt) for _, spelt in sorted(arguments.items())] == [call["arguments"] for call in got["calls"]]
    return got


def whole(reply):
    calls = [item for item in reply.output if item.type == "function_call"]
    thoughts = [item for item in reply.output if item.type == "reasoning"]
    reason = reply.incomplete_details and reply.incomplete_details.reason
    finish = {"max_output_tokens": "length", "content_filter": "filter", None: "calls" if calls else "stop"}[reason]
    return {
        "text": reply.output_text,
        "reasoning": "".join(part.text for item in thoughts for part in [*item.summary, *(item.content or [])]),
        "calls": [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls],
        "finish": finish,
        "usage": {
            "input": reply.usage.input_tokens,
            "output": reply.usage.output_tokens,
            "cached": reply.usage.input_tokens_details.cached_tokens,
        },
    }


if __name__ == "__main__":
    run(__import__("__main__"))
