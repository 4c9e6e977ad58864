"""OpenAI's SDK for Python, chat completions."""

import json

import openai
from table import FORM, KEY, TOOLS, URL, Told, run

NAME = f"openai for Python {openai.__version__}, chat completions"
SPEAKS = {"openai"}
CANNOT = {}
BLIND = set()
FINISH = {"stop": "stop", "length": "length", "tool_calls": "calls", "content_filter": "filter"}
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=20)


def messages(ask):
    if "system" in ask:
        yield {"role": "system", "content": ask["system"]}
    for turn in ask["turns"]:
        parts = turn["parts"]
        if turn["role"] == "tool":
            for part in parts:
                yield {"role": "tool", "tool_call_id": part["result"], "content": part["text"]}
        elif turn["role"] == "assistant":
            texts = [part for part in parts if isinstance(part, str)]
            calls = [call_of(part["call"]) for part in parts if not isinstance(part, str)]
            yield {"role": "assistant", "content": "".join(texts) or None} | ({"tool_calls": calls} if calls else {})
        else:
            yield {"role": "user", "content": [content(part) for part in parts]}


def content(part):
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{part['image']}"}}


def call_of(call):
    made = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": made}


def fields(ask):
    out = {name: ask[name] for name in ("max_tokens", "temperature", "top_p", "stop") if name in ask}
    if "tools" in ask:
        about = lambda name: {"name": name, "description": TOOLS[name]["description"], "parameters": TOOLS[name]["schema"]}
        out["tools"] = [{"type": "function", "function": about(name)} for name in ask["tools"]]
    if choice := ask.get("choice"):
        out["tool_choice"] = "required" if choice == "any" else {"type": "function", "function": {"name": choice}}
    if "form" in ask:
        schema = {"name": "person", "schema": FORM, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "thinks" in ask:
        out["reasoning_effort"] = "low"
    return out


def ask(model, ask, stream):
    said = {"model": model, "messages": list(messages(ask)), **fields(ask)}
    try:
        return streamed(said) if stream else whole(client.chat.completions.create(**said))
    except openai.APIError as error:
        raise Told(getattr(error, "status_code", None), error.code) from error


def whole(reply):
    [choice] = reply.choices
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    reasoning = getattr(choice.message, "reasoning_content", None)
    return answer(choice.message.content, reasoning, calls, choice.finish_reason, reply.usage)


def streamed(said):
    text, reasoning, calls, finish, usage = "", "", {}, None, None
    for chunk in client.chat.completions.create(**said, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                made = calls.setdefault(call.index, ["", "", ""])
                made[0] += call.id or ""
                made[1] += call.function.name or ""
                made[2] += call.function.arguments or ""
    assert list(calls) == list(range(len(calls))), calls
    return answer(text, reasoning, calls.values(), finish, usage)


def answer(text, reasoning, calls, finish, usage):
    return {
        "text": text or "",
        "reasoning": reasoning or "",
        "calls": [{"id": id, "name": name, "arguments": json.loads(arguments)} for id, name, arguments in calls],
        "finish": FINISH[finish],
        "usage": {
            "input": usage.prompt_tokens,
            "output": usage.completion_tokens,
            "cached": usage.prompt_tokens_details.cached_tokens,
        },
    }


if __name__ == "__main__":
    run(__import__("__main__"))
