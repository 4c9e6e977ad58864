"""Mistral's SDK for Python, which speaks chat completions much as OpenAI's does."""

import json
from importlib.metadata import version

from mistralai.client import Mistral, errors
from openai_chat import FINISH, fields, messages
from table import KEY, URL, Told, run

NAME = f"mistralai for Python {version('mistralai')}"
SPEAKS = {"openai"}
WHOLE = "calls stream in pieces as OpenAI's do, and this SDK takes them whole"
CANNOT = {
    name: WHOLE for name in ("call", "words-and-call", "parallel-calls", "must-call", "must-call-one", "parallel-results")
}
BLIND = {"reasoning", "cached"}
# Usage of a stream is told to those who ask, which this SDK cannot: Mistral tells it unasked.
BLIND_STREAMED = {"usage"}
client = Mistral(api_key=KEY, server_url=URL, timeout_ms=20_000)


def ask(model, ask, stream):
    said = {"model": model, "messages": list(messages(ask)), **fields(ask), "retries": None}
    try:
        if not stream:
            return whole(client.chat.complete(**said))
        return streamed(client.chat.stream(**said))
    except errors.MistralError as error:
        said = json.loads(error.body)
        # An event that tells an error is to this SDK one that it cannot read.
        raise Told(error.status_code, said.get("data", said)["error"]["code"]) from error


def whole(reply):
    [choice] = reply.choices
    calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    return answer(choice.message.content, calls, choice.finish_reason, reply.usage)


def streamed(events):
    text, calls, finish, usage = "", {}, None, None
    for event in events:
        usage = event.data.usage or usage
        for choice in event.data.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                made = calls.setdefault(call.index, ["", ""])
                made[0] += call.function.name
                made[1] += call.function.arguments
    return answer(text, calls.values(), finish, usage)


def answer(text, calls, finish, usage):
    return {
        "text": text or "",
        "calls": [{"name": name, "arguments": json.loads(arguments)} for name, arguments in calls],
        "finish": FINISH[finish],
        "usage": usage and {"input": usage.prompt_tokens, "output": usage.completion_tokens},
    }


if __name__ == "__main__":
    run(__import__("__main__"))
