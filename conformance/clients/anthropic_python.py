"""The official Anthropic SDK for Python against a gateway that serves the quickstart (WEIR_URL, WEIR_KEY).

The provider speaks OpenAI's dialect, so every call is carried over and back.
"""

import asyncio
import os

import anthropic
import pydantic
from checks import check, run

URL, KEY = os.environ["WEIR_URL"], os.environ["WEIR_KEY"]
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
TOOLS = [
    {
        "name": "send_mail",
        "description": "Sends a mail",
        "input_schema": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "urgent": {"type": "boolean"}},
            "required": ["to", "urgent"],
        },
    }
]


def asked(text, **more):
    """What every call says, and more."""
    return {"model": "fast", "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


def raised(kind, call):
    """The error of this kind that the call raises."""
    try:
        call()
    except anthropic.APIError as error:
        assert type(error) is kind, type(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


@check
def answers_a_message():
    reply = client.messages.create(**asked("hello python"))
    assert [block.type for block in reply.content] == ["text"] and reply.content[0].text == "echo: hello python", reply
    assert (reply.type, reply.role, reply.stop_reason, reply.stop_sequence) == ("message", "assistant", "end_turn", None)
    assert reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0, reply.usage
    assert reply._request_id, "no request-id"


@check
def streams_a_message():
    with client.messages.stream(**asked("one two three four")) as stream:
        pieces = list(stream.text_stream)
        reply = stream.get_final_message()
    assert len(pieces) > 3, "the stream came in one piece"
    assert "".join(pieces) == reply.content[0].text == "echo: one two three four"
    assert reply.stop_reason == "end_turn" and reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0, reply


@check
def streams_events_in_their_order():
    kinds = [event.type for event in client.messages.create(**asked("a b"), stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
    assert set(kinds[2:-3]) == {"content_block_delta"}, kinds


@check
def keeps_the_limit_of_tokens():
    reply = client.messages.create(**asked("one two three four", max_tokens=3))
    assert reply.stop_reason == "max_tokens" and reply.usage.output_tokens == 3, reply


@check
def takes_prompts_in_all_their_parts():
    content = [
        {"type": "text", "text": "look at this", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "document", "title": "Rules", "source": {"type": "text", "media_type": "text/plain", "data": "no boats"}},
    ]
    system = [{"type": "text", "text": "be kind"}]
    reply = client.messages.with_raw_response.create(**asked(content, system=system, extra_body={"top_k": 4}))
    assert "look at this" in reply.parse().content[0].text and "no boats" in reply.parse().content[0].text
    assert reply.headers["x-weir-dropped"] == "cache_control, top_k", reply.headers


@check
def calls_a_tool_and_takes_its_result():
    first = asked("write to ann@example.com", tools=TOOLS, tool_choice={"type": "any"})
    reply = client.messages.create(**first)
    assert reply.stop_reason == "tool_use", reply
    call = reply.content[-1]
    assert (call.type, call.name, set(call.input)) == ("tool_use", "send_mail", {"to", "urgent"}), call
    assert "ann@example.com" in call.input["to"], "the address did not come back into the arguments"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sent"}]}
    turns = first["messages"] + [{"role": "assistant", "content": reply.content}, {"role": "user", "content": [result]}]
    reply = client.messages.create(**{**first, "messages": turns, "tool_choice": {"type": "auto"}})
    assert reply.stop_reason == "end_turn" and reply.content[0].text == "echo: sent", reply


@check
def streams_a_tool_call():
    with client.messages.stream(**asked("please write to eve@example.com", tools=TOOLS, tool_choice={"type": "any"})) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        reply = stream.get_final_message()
    assert len(pieces) > 1 and reply.stop_reason == "tool_use", reply
    assert "eve@example.com" in reply.content[-1].input["to"] and reply.content[-1].input["urgent"] is False, reply


@check
def thinks_before_it_answers():
    wish = {"type": "enabled", "budget_tokens": 1024}
    reply = client.messages.create(**asked("hm", model="echo-think", max_tokens=4000, thinking=wish))
    assert [block.type for block in reply.content] == ["thinking", "text"], reply
    assert reply.content[0].thinking == "someone says hm" and reply.content[1].text == "echo: hm"
    assert reply.usage.output_tokens_details.thinking_tokens == 3, reply.usage
    with client.messages.stream(**asked("hm", model="echo-think", max_tokens=4000, thinking=wish)) as stream:
        thought = "".join(event.thinking for event in stream if event.type == "thinking")
        streamed = stream.get_final_message()
    assert thought == "someone says hm" and [block.type for block in streamed.content] == ["thinking", "text"], streamed
    # The thought goes back with the next turn.
    turns = asked("hm")["messages"] + [{"role": "assistant", "content": reply.content}, {"role": "user", "content": "and?"}]
    assert client.messages.create(**asked("", messages=turns)).content[0].text == "echo: and?"


@check
def answers_in_a_form():
    class Person(pydantic.BaseModel):
        name: str

    reply = client.messages.parse(**asked("who?", model='echo-say-{"name":_"Bob"}', output_format=Person))
    assert reply.parsed_output == Person(name="Bob"), reply


@check
def puts_personal_data_back_into_a_stream():
    with client.messages.stream(**asked("mail bob@example.com or call +49 30 901820")) as stream:
        assert stream.get_final_text() == "echo: mail bob@example.com or call +49 30 901820"


@check
def tells_where_a_reply_came_from():
    first, second = (client.messages.with_raw_response.create(**asked("asked twice in python")) for _ in range(2))
    assert (first.headers["x-weir-cache"], second.headers["x-weir-cache"]) == ("miss", "hit")
    assert first.headers["x-weir-target"] == "echo/echo" and first.headers["x-weir-revision"]
    assert first.parse().content == second.parse().content
    with client.messages.stream(**asked("asked twice in python")) as stream:
        assert stream.get_final_text() == "echo: asked twice in python"
        assert stream.response.headers["x-weir-cache"] == "hit"


@check
def falls_back_when_a_model_fails():
    reply = client.messages.with_raw_response.create(**asked("anyone, python?", model="echo-status-500"))
    assert reply.headers["x-weir-target"] == "echo/echo", reply.headers
    assert reply.parse().content[0].text == "echo: anyone, python?"


@check
def lists_models():
    models = client.models.list()
    assert "fast" in [model.id for model in models], models
    assert client.models.retrieve("fast").id == "fast"
    error = raised(anthropic.NotFoundError, lambda: client.models.retrieve("unheard-of"))
    assert (error.type, error.error_code) == ("not_found_error", "unknown-model"), error.body


@check
def speaks_below_its_prefix_too():
    below = anthropic.Anthropic(base_url=URL + "/anthropic", auth_token=KEY, api_key=None, max_retries=0, timeout=20)
    assert below.messages.create(**asked("below")).content[0].text == "echo: below"
    assert "fast" in [model.id for model in below.models.list()]


@check
def refuses_a_wrong_key():
    stranger = client.with_options(api_key="wr_wrong")
    error = raised(anthropic.AuthenticationError, lambda: stranger.messages.create(**asked("hi")))
    assert (error.type, error.error_code) == ("authentication_error", "invalid-key"), error.body
    assert error.request_id == error.body["request_id"]


@check
def refuses_a_model_that_nobody_knows():
    error = raised(anthropic.NotFoundError, lambda: client.messages.create(**asked("hi", model="unheard-of")))
    assert (error.type, error.error_code) == ("not_found_error", "unknown-model"), error.body


@check
def tells_why_a_guard_denies():
    for ask in (client.messages.create, lambda **what: client.messages.stream(**what).__enter__()):
        error = raised(anthropic.PermissionDeniedError, lambda: ask(**asked("this is TOP SECRET")))
        assert (error.type, error.error_code) == ("permission_error", "top-secret"), error.body
        assert "top secret papers stay in the house" in error.api_message, error.body


@check
def tells_what_is_wrong_with_a_request():
    error = raised(anthropic.BadRequestError, lambda: client.messages.create(**asked("", messages="hello")))
    assert (error.type, error.error_code) == ("invalid_request_error", "bad-request"), error.body
    assert error.body["error"]["details"]["param"] == "messages", error.body


@check
def tells_what_the_target_has_no_place_for():
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    error = raised(anthropic.BadRequestError, lambda: client.messages.create(**asked("hi", tools=tools)))
    assert error.error_code == "unsupported" and "provider tools" in error.api_message, error.body
    error = raised(anthropic.BadRequestError, lambda: client.messages.count_tokens(model="fast", messages=asked("hi")["messages"]))
    assert error.error_code == "unsupported", error.body
    error = raised(anthropic.NotFoundError, lambda: client.messages.batches.list())
    assert (error.type, error.error_code) == ("not_found_error", "no-pipeline"), error.body


@check
def raises_when_a_stream_is_cut():
    seen = []

    def read():
        for event in client.messages.create(**asked("one two three four five six", model="echo-cut"), stream=True):
            seen.append(event.type)

    error = raised(anthropic.APIStatusError, read)
    assert "content_block_delta" in seen and "message_stop" not in seen, seen
    assert (error.type, error.error_code) == ("api_error", "upstream-broken"), error.body


@check
def works_without_waiting():
    async def ask():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20) as client:

            async def streamed():
                async with client.messages.stream(**asked("second")) as stream:
                    return await stream.get_final_text()

            one, two = await asyncio.gather(client.messages.create(**asked("first")), streamed())
            return one.content[0].text, two

    assert asyncio.run(ask()) == ("echo: first", "echo: second")


run(f"anthropic for Python {anthropic.__version__}")
