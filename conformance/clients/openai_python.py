"""The official OpenAI SDK for Python against a gateway that serves the quickstart (WEIR_URL, WEIR_KEY)."""

import asyncio
import base64
import json
import os

import openai
import pydantic
from checks import check, run

URL, KEY = os.environ["WEIR_URL"] + "/v1", os.environ["WEIR_KEY"]
client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
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


def user(text):
    return [{"role": "user", "content": text}]


def raised(kind, call):
    """The error of this kind that the call raises."""
    try:
        call()
    except kind as error:
        assert type(error) is kind or kind is openai.APIError, type(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


@check
def answers_a_chat():
    reply = client.chat.completions.create(model="fast", messages=user("hello python"))
    assert reply.choices[0].message.content == "echo: hello python", reply
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply._request_id, "no x-request-id"


@check
def streams_a_chat():
    stream = client.chat.completions.create(model="fast", messages=user("one two three four"), stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: one two three four"
    assert len(chunks) > 3, "the stream came in one piece"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "usage that nobody asked for"


@check
def streams_usage_to_those_who_ask():
    stream = client.chat.completions.create(
        model="fast", messages=user("how much?"), stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.choices == [] and last.usage.total_tokens > 0, last


@check
def streams_with_the_helper():
    with client.chat.completions.stream(model="fast", messages=user("with the helper")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        reply = stream.get_final_completion()
    assert "".join(deltas) == reply.choices[0].message.content == "echo: with the helper"


@check
def calls_a_tool_and_takes_its_result():
    messages = user("write to ann@example.com")
    reply = client.chat.completions.create(model="fast", messages=messages, tools=TOOLS, tool_choice="required")
    assert reply.choices[0].finish_reason == "tool_calls"
    call = reply.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "send_mail" and set(arguments) == {"to", "urgent"}, call
    assert "ann@example.com" in arguments["to"], "the address did not come back into the arguments"
    messages += [reply.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sent"}]
    reply = client.chat.completions.create(model="fast", messages=messages, tools=TOOLS)
    assert reply.choices[0].finish_reason == "stop" and reply.choices[0].message.content


@check
def streams_a_tool_call():
    stream = client.chat.completions.create(
        model="fast", messages=user("write to eve@example.com"), tools=TOOLS, tool_choice="required", stream=True
    )
    name, arguments, finish = "", "", None
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert (name, finish) == ("send_mail", "tool_calls"), (name, finish)
    assert "eve@example.com" in json.loads(arguments)["to"], arguments


@check
def puts_personal_data_back_into_a_stream():
    stream = client.chat.completions.create(
        model="fast", messages=user("mail bob@example.com or call +49 30 901820"), stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "echo: mail bob@example.com or call +49 30 901820", text


@check
def tells_where_a_reply_came_from():
    ask = lambda: client.chat.completions.with_raw_response.create(model="fast", messages=user("asked twice in python"))
    first, second = ask(), ask()
    assert (first.headers["x-weir-cache"], second.headers["x-weir-cache"]) == ("miss", "hit")
    assert first.headers["x-weir-target"] == "echo/echo" and first.headers["x-weir-revision"]
    assert first.parse().choices == second.parse().choices


@check
def falls_back_when_a_model_fails():
    reply = client.chat.completions.with_raw_response.create(model="echo-status-500", messages=user("anyone, python?"))
    assert reply.headers["x-weir-target"] == "echo/echo", reply.headers
    assert reply.parse().choices[0].message.content == "echo: anyone, python?"


@check
def answers_a_response():
    reply = client.responses.create(model="fast", input="hello response", instructions="be kind")
    assert reply.output_text == "echo: hello response", reply
    assert (reply.object, reply.status, reply.output[-1].type) == ("response", "completed", "message"), reply
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens > 0
    assert reply._request_id, "no x-request-id"


@check
def streams_a_response():
    events = list(client.responses.create(model="fast", input="mail dan@example.com or eve@example.com", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 2, "the stream came in one piece"
    text = "echo: mail dan@example.com or eve@example.com"
    assert "".join(deltas) == events[-1].response.output_text == text, events[-1]
    assert events[-1].response.usage.total_tokens > 0


@check
def streams_a_response_with_the_helper():
    with client.responses.stream(model="fast", input="with the helper of responses") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        reply = stream.get_final_response()
    assert "".join(deltas) == reply.output_text == "echo: with the helper of responses"


@check
def calls_a_tool_in_a_response_and_takes_its_result():
    tools = [{"type": "function", **TOOLS[0]["function"], "strict": False}]
    items = user("write to ann@example.com in a response")
    for stream in (False, True):
        ask = dict(model="fast", input=items, tools=tools, tool_choice="required")
        if stream:
            *_, last = client.responses.create(**ask, stream=True)
            reply = last.response
        else:
            reply = client.responses.create(**ask)
        call = reply.output[-1]
        assert (call.type, call.name) == ("function_call", "send_mail"), reply
        assert "ann@example.com" in json.loads(call.arguments)["to"], call
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sent"}
        reply = client.responses.create(model="fast", input=[*items, call, result], tools=tools)
        assert reply.output_text == "echo: sent", reply


@check
def takes_the_form_of_a_response_and_what_is_kept():
    class Who(pydantic.BaseModel):
        name: str

    said = 'echo-say-{"name":"bob"}'
    before = client.responses.create(model=said, input="hello")
    reply = client.responses.parse(model=said, input="who?", text_format=Who, previous_response_id=before.id)
    assert reply.output_parsed == Who(name="bob"), reply
    another = lambda: client.responses.create(model=said, input="who?", previous_response_id="resp_0")
    error = raised(openai.NotFoundError, another)
    assert error.code == "unknown-id", error
    wrong = lambda: client.responses.create(model="fast", input=7)
    error = raised(openai.BadRequestError, wrong)
    assert (error.code, error.param) == ("bad-request", "input"), error


@check
def tells_why_a_guard_denies_a_response():
    for stream in (False, True):
        ask = lambda: client.responses.create(model="fast", input="this is TOP SECRET", stream=stream)
        error = raised(openai.PermissionDeniedError, ask)
        assert (error.code, error.type) == ("top-secret", "permission_error"), error


@check
def raises_when_the_stream_of_a_response_is_cut():
    seen = []

    def read():
        for event in client.responses.create(model="echo-cut", input="one two three four five six", stream=True):
            seen.append(event)

    error = raised(openai.APIError, read)
    assert seen and seen[-1].type != "response.completed", seen
    assert error.code == "upstream-broken", error


@check
def embeds():
    for extra in ({}, {"encoding_format": "float"}):
        reply = client.embeddings.create(model="fast", input=["one", "two"], **extra)
        assert [item.index for item in reply.data] == [0, 1]
        assert all(len(item.embedding) == 8 for item in reply.data), reply
        assert all(isinstance(number, float) for item in reply.data for number in item.embedding)
        assert reply.usage.prompt_tokens == 2


@check
def completes():
    reply = client.completions.create(model="fast", prompt="once upon")
    assert reply.choices[0].text == "echo: once upon", reply
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model="fast", prompt="a time", stream=True))
    assert text == "echo: a time", text


@check
def draws():
    reply = client.images.generate(model="fast", prompt="a card for bob@example.com", n=2)
    assert [image.revised_prompt for image in reply.data] == ["echo: a card for bob@example.com"] * 2, reply
    assert base64.b64decode(reply.data[0].b64_json).startswith(b"\x89PNG") and reply.usage.total_tokens > 0
    ask = lambda: client.images.generate(model="fast", prompt="a card", stream=True)
    error = raised(openai.BadRequestError, ask)
    assert (error.code, error.param) == ("bad-request", "stream"), error


@check
def judges():
    reply = client.moderations.create(model="fast", input=["a kind word", "sheer violence"])
    assert [result.flagged for result in reply.results] == [False, True], reply
    parts = [{"type": "text", "text": "sheer violence"}]
    assert client.moderations.create(model="fast", input=parts).results[0].categories.violence


@check
def speaks():
    reply = client.audio.speech.create(model="fast", voice="alloy", input="one two three", instructions="slowly")
    assert reply.read().startswith(b"RIFF") and reply.response.headers["content-type"] == "audio/wav"
    with client.audio.speech.with_streaming_response.create(model="fast", voice="alloy", input="one two") as reply:
        assert sum(len(piece) for piece in reply.iter_bytes()) == 44 + 2 * 800


@check
def hears():
    sound = ("a.wav", b"RIFF\x00\xff")
    reply = client.audio.transcriptions.create(model="fast", file=sound, prompt="to bob@example.com")
    assert reply.text == "echo: to bob@example.com", reply


@check
def draws_over_an_image():
    reply = client.images.edit(model="fast", image=("a.png", b"\x89PNG"), prompt="a hat for eve@example.com")
    assert reply.data[0].revised_prompt == "echo: a hat for eve@example.com", reply


@check
def lists_models():
    names = [model.id for model in client.models.list()]
    assert "fast" in names, names
    assert client.models.retrieve("fast").id == "fast"
    error = raised(openai.NotFoundError, lambda: client.models.retrieve("unheard-of"))
    assert error.code == "unknown-model", error


@check
def refuses_a_wrong_key():
    stranger = client.with_options(api_key="wr_wrong")
    error = raised(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="fast", messages=user("hi")))
    assert (error.status_code, error.code, error.type) == (401, "invalid-key", "authentication_error"), error
    assert error.request_id
    raised(openai.AuthenticationError, lambda: stranger.models.list())


@check
def refuses_a_model_that_nobody_knows():
    error = raised(openai.NotFoundError, lambda: client.chat.completions.create(model="unheard-of", messages=user("hi")))
    assert (error.status_code, error.code, error.type) == (404, "unknown-model", "invalid_request_error"), error


@check
def tells_why_a_guard_denies():
    for stream in (False, True):
        ask = lambda: client.chat.completions.create(model="fast", messages=user("this is TOP SECRET"), stream=stream)
        error = raised(openai.PermissionDeniedError, ask)
        assert (error.code, error.type) == ("top-secret", "permission_error"), error
        assert "top secret papers stay in the house" in error.message, error.message


@check
def tells_what_is_wrong_with_a_request():
    error = raised(openai.BadRequestError, lambda: client.chat.completions.create(model="fast", messages="hello"))
    assert (error.code, error.param) == ("bad-request", "messages"), error


@check
def raises_when_a_stream_is_cut():
    seen = []

    def read():
        for chunk in client.chat.completions.create(model="echo-cut", messages=user("one two three four five six"), stream=True):
            seen.append(chunk)

    error = raised(openai.APIError, read)
    assert seen, "nothing came before the cut"
    assert error.code == "upstream-broken", error


@check
def works_without_waiting():
    async def ask():
        async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0, timeout=20) as client:
            one = client.chat.completions.create(model="fast", messages=user("first"))
            two = client.chat.completions.create(model="fast", messages=user("second"), stream=True)
            one, two = await asyncio.gather(one, two)
            return one.choices[0].message.content, "".join([chunk.choices[0].delta.content or "" async for chunk in two])

    assert asyncio.run(ask()) == ("echo: first", "echo: second")


run(f"openai for Python {openai.__version__}")
