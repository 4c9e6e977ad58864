"""Cohere's official SDK for Python, its client for the API's second version, against a gateway that serves the quickstart
(WEIR_URL, WEIR_KEY).

The provider `echo` speaks OpenAI's dialect, so each call here is carried into it and back.
"""

import asyncio
import json
import os
from importlib.metadata import version

import cohere
from cohere.core.api_error import ApiError
from checks import check, run

URL, KEY = os.environ["WEIR_URL"], os.environ["WEIR_KEY"]
ONCE = {"max_retries": 0}
client = cohere.ClientV2(api_key=KEY, base_url=URL + "/cohere", timeout=20, log_warning_experimental_features=False)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "send_mail",
            "description": "Sends a mail",
            "parameters": {
                "type": "object",
                "properties": {"to": {"type": "string"}, "urgent": {"type": "boolean"}},
                "required": ["to", "urgent"],
            },
        },
    }
]


def said(content, model="fast", **more):
    """What every call says, and more."""
    return {"model": model, "messages": [{"role": "user", "content": content}], "request_options": ONCE, **more}


def ask(content, client=client, **more):
    return client.chat(**said(content, **more))


def stream(content, **more):
    return list(client.chat_stream(**said(content, **more)))


def words(events):
    return "".join(event.delta.message.content.text or "" for event in events if event.type == "content-delta")


def raised(call, status):
    """The error of this status that the call raises."""
    try:
        call()
    except ApiError as error:
        assert error.status_code == status, error
        return error.body if isinstance(error.body, dict) else json.loads(error.body)
    raise AssertionError(f"no error {status}")


@check
def answers():
    reply = ask("hello cohere")
    assert reply.message.content[0].text == "echo: hello cohere", reply
    assert (reply.message.role, reply.finish_reason) == ("assistant", "COMPLETE") and reply.id, reply
    assert reply.usage.tokens.input_tokens > 0 and reply.usage.tokens.output_tokens > 0, reply.usage


@check
def streams():
    events = stream("one two three four")
    assert words(events) == "echo: one two three four", events
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message-start", "content-start"] and kinds[-2:] == ["content-end", "message-end"], kinds
    assert kinds.count("content-delta") > 3, "the stream came in one piece"
    assert events[-1].delta.finish_reason == "COMPLETE" and events[-1].delta.usage.tokens.output_tokens > 0, events[-1]


@check
def takes_prompts_in_all_their_parts():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    turns = [{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"type": "text", "text": "look at this"}, image]}]
    reply = client.with_raw_response.chat(**said("", messages=turns, k=4, seed=1))
    assert "look at this" in reply.data.message.content[0].text, reply.data
    assert reply.headers["x-weir-dropped"] == "top_k" and reply.headers["x-weir-target"] == "echo/echo", reply.headers


@check
def calls_a_tool_and_takes_its_result():
    first = said("write to ann@example.com", tools=TOOLS, tool_choice="REQUIRED")
    reply = client.chat(**first)
    assert reply.finish_reason == "TOOL_CALL", reply
    [call] = reply.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "send_mail" and set(arguments) == {"to", "urgent"}, call
    assert "ann@example.com" in arguments["to"], "the address did not come back into the arguments"
    turns = first["messages"] + [
        {"role": "assistant", "tool_calls": reply.message.tool_calls, "tool_plan": reply.message.tool_plan},
        {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "sent"}]},
    ]
    reply = ask("", messages=turns, tools=TOOLS)
    assert reply.finish_reason == "COMPLETE" and reply.message.content[0].text == "echo: sent", reply


@check
def streams_a_tool_call():
    events = stream("write to eve@example.com", tools=TOOLS, tool_choice="REQUIRED")
    [start] = [event.delta.message.tool_calls for event in events if event.type == "tool-call-start"]
    deltas = [event.delta.message.tool_calls.function.arguments for event in events if event.type == "tool-call-delta"]
    arguments = (start.function.arguments or "") + "".join(deltas)
    assert start.function.name == "send_mail" and "eve@example.com" in json.loads(arguments)["to"], events
    assert events[-1].delta.finish_reason == "TOOL_CALL", events[-1]


@check
def parses_what_fits_a_schema():
    shape = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    reply = ask("answer", model='echo-say-{"word":"yes"}', response_format={"type": "json_object", "json_schema": shape})
    assert json.loads(reply.message.content[0].text) == {"word": "yes"}, reply


@check
def cuts_at_the_most_tokens():
    reply = ask("one two three four five", max_tokens=3)
    assert (reply.finish_reason, reply.usage.tokens.output_tokens) == ("MAX_TOKENS", 3), reply


@check
def puts_personal_data_back_into_a_stream():
    got = words(stream("mail bob@example.com or call +49 30 901820"))
    assert got == "echo: mail bob@example.com or call +49 30 901820", got


@check
def tells_what_a_cache_said():
    calls = [client.with_raw_response.chat(**said("asked twice of cohere")) for _ in range(2)]
    assert [reply.headers["x-weir-cache"] for reply in calls] == ["miss", "hit"]
    assert {reply.data.message.content[0].text for reply in calls} == {"echo: asked twice of cohere"}


@check
def falls_back_when_a_model_fails():
    assert ask("anyone, cohere?", model="echo-status-500").message.content[0].text == "echo: anyone, cohere?"


@check
def embeds():
    asked = {"model": "fast", "input_type": "search_query", "embedding_types": ["float"], "request_options": ONCE}
    reply = client.embed(texts=["one", "two"], **asked)
    assert [len(vector) for vector in reply.embeddings.float_] == [8, 8], reply
    reply = client.embed(texts=["one"], output_dimension=4, **asked)
    assert [len(vector) for vector in reply.embeddings.float_] == [4], reply


@check
def ranks():
    documents = ["a lock lifts boats", "a weir holds a river", "nothing"]
    reply = client.rerank(model="fast", query="what holds a river", documents=documents, top_n=2, request_options=ONCE)
    assert [result.index for result in reply.results] == [1, 0], reply
    assert reply.results[0].relevance_score > reply.results[1].relevance_score, reply


@check
def refuses_a_wrong_key():
    stranger = cohere.ClientV2(api_key="wr_wrong", base_url=URL + "/cohere", log_warning_experimental_features=False)
    body = raised(lambda: ask("hi", client=stranger), 401)
    assert body["code"] == "invalid-key", body


@check
def refuses_a_model_that_nobody_knows():
    assert raised(lambda: ask("hi", model="unheard-of"), 404)["code"] == "unknown-model"


@check
def tells_why_a_guard_denies():
    for call in (ask, stream):
        body = raised(lambda call=call: call("this is TOP SECRET"), 403)
        assert body["code"] == "top-secret" and "top secret papers stay in the house" in body["message"], body


@check
def tells_what_the_target_has_no_place_for():
    body = raised(lambda: ask("hi", safety_mode="STRICT"), 400)
    assert body["code"] == "unsupported", body


@check
def never_ends_cleanly_when_a_stream_is_cut():
    kinds = [event.type for event in stream("one two three four five six", model="echo-cut")]
    assert "content-delta" in kinds, "nothing came before the cut"
    assert kinds[-1] == "message-end" and "content-end" not in kinds, kinds


@check
def works_without_waiting():
    async def both():
        waiting = cohere.AsyncClientV2(api_key=KEY, base_url=URL + "/cohere", log_warning_experimental_features=False)
        one = waiting.chat(**said("first of cohere"))
        two = [event async for event in waiting.chat_stream(**said("second of cohere"))]
        return (await one).message.content[0].text, words(two)

    assert asyncio.run(both()) == ("echo: first of cohere", "echo: second of cohere")


run(f"cohere for Python {version('cohere')}")
