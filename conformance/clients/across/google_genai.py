"""Google's SDK for Python."""

import base64
from itertools import chain

from google import genai
from google.genai import errors, types
from table import FORM, KEY, TOOLS, URL, Told, run

NAME = f"google-genai for Python {genai.__version__}"
SPEAKS = {"gemini"}
CANNOT = {}
BLIND = set()
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}
options = types.HttpOptions(base_url=URL, timeout=20_000, retry_options=types.HttpRetryOptions(attempts=1))
client = genai.Client(api_key=KEY, http_options=options)


def contents(ask):
    names = {}
    for turn in ask["turns"]:
        role = "model" if turn["role"] == "assistant" else "user"
        yield types.Content(role=role, parts=[part_of(part, names) for part in turn["parts"]])


def part_of(part, names):
    if isinstance(part, str):
        return types.Part(text=part)
    if "image" in part:
        return types.Part.from_bytes(data=base64.b64decode(part["image"]), mime_type="image/png")
    if "call" in part:
        call = part["call"]
        names[call["id"]] = call["name"]
        made = types.FunctionCall(id=call["id"], name=call["name"], args=call["arguments"])
        return types.Part(function_call=made)
    said = {"id": part["result"], "name": names[part["result"]], "response": {"output": part["text"]}}
    return types.Part(function_response=types.FunctionResponse(**said))


def config(ask):
    out = {name: ask[name] for name in ("temperature", "top_p") if name in ask}
    out |= {name: ask[one] for name, one in [("stop_sequences", "stop"), ("max_output_tokens", "max_tokens")] if one in ask}
    if "system" in ask:
        out["system_instruction"] = ask["system"]
    if "tools" in ask:
        about = lambda name: {"description": TOOLS[name]["description"], "parameters_json_schema": TOOLS[name]["schema"]}
        functions = [types.FunctionDeclaration(name=name, **about(name)) for name in ask["tools"]]
        out["tools"] = [types.Tool(function_declarations=functions)]
    if choice := ask.get("choice"):
        calling = {"mode": "ANY"} | ({} if choice == "any" else {"allowed_function_names": [choice]})
        out["tool_config"] = {"function_calling_config": calling}
    if "form" in ask:
        out |= {"response_mime_type": "application/json", "response_json_schema": FORM}
    if "thinks" in ask:
        out["thinking_config"] = {"thinking_budget": 1024, "include_thoughts": True}
    return types.GenerateContentConfig(**out)


def ask(model, ask, stream):
    said = {"model": model, "contents": list(contents(ask)), "config": config(ask)}
    try:
        if stream:
            return answer(list(client.models.generate_content_stream(**said)))
        return answer([client.models.generate_content(**said)])
    except errors.APIError as error:
        details = error.details.get("error", error.details)["details"]
        raise Told(error.code, details[0]["reason"]) from error


def answer(chunks):
    candidates = list(chain.from_iterable(chunk.candidates or [] for chunk in chunks))
    parts = list(chain.from_iterable(one.content.parts or [] for one in candidates if one.content))
    calls = [part.function_call for part in parts if part.function_call]
    [finish] = [one.finish_reason for one in candidates if one.finish_reason]
    usage = chunks[-1].usage_metadata
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "reasoning": "".join(part.text for part in parts if part.text and part.thought),
        "calls": [{"name": call.name, "arguments": call.args} for call in calls],
        "finish": "calls" if calls else FINISH[finish.value],
        "usage": {
            "input": usage.prompt_token_count,
            "output": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            "cached": usage.cached_content_token_count or 0,
        },
    }


if __name__ == "__main__":
    run(__import__("__main__"))
