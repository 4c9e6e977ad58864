"""Google's official SDK for Python against a gateway that serves the quickstart (WEIR_URL, WEIR_KEY).

The provider `echo` speaks OpenAI's dialect, so each call here is carried into it and back.
"""

import asyncio
import json
import os
import urllib.error
import urllib.request

from google import genai
from google.genai import errors, types
from pydantic import BaseModel
from checks import check, run

URL, KEY = os.environ["WEIR_URL"], os.environ["WEIR_KEY"]


def connected(base=URL + "/gemini", key=KEY):
    once = types.HttpRetryOptions(attempts=1)
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base, timeout=20_000, retry_options=once))


client = connected()
SEND_MAIL = types.FunctionDeclaration(
    name="send_mail",
    description="Sends a mail",
    parameters=types.Schema(
        type="OBJECT",
        properties={"to": types.Schema(type="STRING"), "urgent": types.Schema(type="BOOLEAN", nullable=True)},
        required=["to", "urgent"],
    ),
)
CALLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[SEND_MAIL])],
    tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def ask(contents, model="fast", config=None, client=client):
    return client.models.generate_content(model=model, contents=contents, config=config)


def stream(contents, model="fast", config=None):
    return client.models.generate_content_stream(model=model, contents=contents, config=config)


def raised(kind, call):
    """The error of this kind that the call raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def info(error):
    """What an error's details say."""
    return error.details["error"]["details"][0]


def posted(path, body, headers=()):
    """Status, media type and JSON of a call without the SDK."""
    headers = {"content-type": "application/json", **dict(headers)}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers["content-type"], json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], json.load(error)


@check
def answers():
    reply = ask("hello gemini")
    assert reply.text == "echo: hello gemini", reply
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    usage = reply.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count > 0, usage
    assert reply.response_id and reply.model_version, reply
    headers = reply.sdk_http_response.headers
    assert headers["x-weir-target"] == "echo/echo" and headers["x-weir-revision"], headers


@check
def answers_at_the_root_and_in_other_versions():
    assert ask("at the root", client=connected(URL)).text == "echo: at the root"
    for version in ("v1", "v1alpha"):
        other = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL + "/gemini", api_version=version))
        assert ask("in " + version, client=other).text == "echo: in " + version


@check
def streams():
    chunks = list(stream("one two three four"))
    assert "".join(chunk.text or "" for chunk in chunks) == "echo: one two three four"
    assert len(chunks) > 3, "the stream came in one piece"
    last = chunks[-1]
    assert last.candidates[0].finish_reason == types.FinishReason.STOP, last
    assert last.usage_metadata.total_token_count > 0, last
    assert len({chunk.response_id for chunk in chunks}) == 1


@check
def streams_one_array_to_those_who_ask_for_no_events():
    body = {"contents": [{"parts": [{"text": "as an array"}]}]}
    path = "/v1beta/models/fast:streamGenerateContent"
    status, media_type, items = posted(path, body, {"x-goog-api-key": KEY})
    assert (status, media_type) == (200, "application/json"), (status, media_type)
    texts = [part["text"] for item in items for part in item["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "echo: as an array" and len(items) > 2, items
    assert items[-1]["candidates"][0]["finishReason"] == "STOP"
    status, media_type, items = posted("/v1beta/models/echo-cut:streamGenerateContent", body, {"x-goog-api-key": KEY})
    assert items[-1]["error"]["status"] == "UNAVAILABLE" and "candidates" in items[0], items


@check
def talks_in_turns_and_with_images():
    chat = client.chats.create(model="fast", config=types.GenerateContentConfig(system_instruction="Be kind.", temperature=0.5))
    assert chat.send_message("first turn").text == "echo: first turn"
    assert chat.send_message("second turn").text == "echo: second turn"
    pixel = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n\xff\xfe", mime_type="image/png")
    assert ask([pixel, "what is it?"]).text == "echo: what is it?"


@check
def calls_a_tool_and_takes_its_result():
    contents = [types.Content(role="user", parts=[types.Part(text="write to ann@example.com")])]
    reply = ask(contents, config=CALLS)
    [call] = reply.function_calls
    assert call.name == "send_mail" and set(call.args) == {"to", "urgent"}, call
    assert "ann@example.com" in call.args["to"], "the address did not come back into the arguments"
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    answer = types.Part.from_function_response(name="send_mail", response={"output": "sent at noon"})
    contents += [reply.candidates[0].content, types.Content(role="user", parts=[answer])]
    assert ask(contents).text == "echo: sent at noon"


@check
def calls_the_clients_own_function():
    called = []

    def weather(town: str) -> str:
        """Tells the weather of a town."""
        called.append(town)
        return "it rains"

    chat = client.chats.create(model="fast", config=types.GenerateContentConfig(tools=[weather]))
    reply = chat.send_message("call weather")
    assert called == ["call weather"], called
    assert reply.text == "echo: it rains", reply


@check
def streams_a_tool_call():
    chunks = list(stream("write to eve@example.com", config=CALLS))
    [call] = [call for chunk in chunks for call in chunk.function_calls or []]
    assert call.name == "send_mail" and "eve@example.com" in call.args["to"], call
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@check
def parses_what_fits_a_schema():
    class Answer(BaseModel):
        word: str

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Answer)
    reply = ask("answer", model='echo-say-{"word":"yes"}', config=config)
    assert reply.parsed == Answer(word="yes"), reply


@check
def puts_personal_data_back_into_a_stream():
    text = "".join(chunk.text or "" for chunk in stream("mail bob@example.com or call +49 30 901820"))
    assert text == "echo: mail bob@example.com or call +49 30 901820", text


@check
def tells_what_a_cache_said():
    one, two = ask("asked twice of gemini"), ask("asked twice of gemini")
    said = [reply.sdk_http_response.headers["x-weir-cache"] for reply in (one, two)]
    assert said == ["miss", "hit"], said
    assert one.text == two.text == "echo: asked twice of gemini"


@check
def falls_back_when_a_model_fails():
    reply = ask("anyone, gemini?", model="echo-status-500")
    assert reply.sdk_http_response.headers["x-weir-target"] == "echo/echo"
    assert reply.text == "echo: anyone, gemini?"


@check
def cuts_at_the_most_tokens():
    reply = ask("one two three four five", config=types.GenerateContentConfig(max_output_tokens=3))
    assert reply.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS, reply


@check
def embeds():
    reply = client.models.embed_content(model="fast", contents=["one", "two"])
    assert [len(item.values) for item in reply.embeddings] == [8, 8], reply
    config = types.EmbedContentConfig(output_dimensionality=4, task_type="RETRIEVAL_QUERY")
    [item] = client.models.embed_content(model="fast", contents="one", config=config).embeddings
    assert len(item.values) == 4, item
    body = {"content": {"parts": [{"text": "one"}]}}
    status, _, reply = posted("/gemini/v1beta/models/fast:embedContent", body, {"x-goog-api-key": KEY})
    assert status == 200 and len(reply["embedding"]["values"]) == 8, reply


@check
def lists_models():
    names = [model.name for model in client.models.list()]
    assert "models/fast" in names, names
    assert client.models.get(model="fast").name == "models/fast"
    error = raised(errors.ClientError, lambda: client.models.get(model="unheard-of"))
    assert (error.code, error.status, info(error)["reason"]) == (404, "NOT_FOUND", "unknown-model"), error


@check
def takes_the_key_in_the_query():
    body = {"contents": [{"parts": [{"text": "a key in the query"}]}]}
    path = "/v1beta/models/fast:generateContent"
    status, _, reply = posted(f"{path}?key={KEY}", body)
    assert status == 200 and reply["candidates"][0]["content"]["parts"] == [{"text": "echo: a key in the query"}], reply
    status, _, reply = posted(f"{path}?key=wr_wrong", body)
    assert (status, reply["error"]["status"]) == (401, "UNAUTHENTICATED"), reply
    status, _, reply = posted(path, body)
    assert (status, reply["error"]["status"]) == (401, "UNAUTHENTICATED"), reply


@check
def refuses_a_wrong_key():
    stranger = connected(key="wr_wrong")
    error = raised(errors.ClientError, lambda: ask("hi", client=stranger))
    assert (error.code, error.status, info(error)["reason"]) == (401, "UNAUTHENTICATED", "invalid-key"), error
    assert info(error)["metadata"]["requestId"], error


@check
def refuses_a_model_that_nobody_knows():
    error = raised(errors.ClientError, lambda: ask("hi", model="unheard-of"))
    assert (error.code, error.status, info(error)["reason"]) == (404, "NOT_FOUND", "unknown-model"), error


@check
def tells_why_a_guard_denies():
    for call in (ask, lambda contents: list(stream(contents))):
        error = raised(errors.ClientError, lambda: call("this is TOP SECRET"))
        assert (error.code, error.status, info(error)["reason"]) == (403, "PERMISSION_DENIED", "top-secret"), error
        assert "top secret papers stay in the house" in error.message, error


@check
def tells_what_is_wrong_with_a_request():
    contents = [types.Content(role="nobody", parts=[types.Part(text="hi")])]
    error = raised(errors.ClientError, lambda: ask(contents))
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT"), error
    assert info(error)["metadata"]["field"] == "contents[0].role", error


@check
def tells_what_the_target_has_no_place_for():
    strict = types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_LOW_AND_ABOVE")
    error = raised(errors.ClientError, lambda: ask("hi", config=types.GenerateContentConfig(safety_settings=[strict])))
    assert (error.code, info(error)["reason"]) == (400, "unsupported") and "safety_settings" in error.message, error
    error = raised(errors.ClientError, lambda: client.models.count_tokens(model="fast", contents="how many?"))
    assert info(error)["reason"] == "unsupported", error
    reply = ask("top_k is a hint", config=types.GenerateContentConfig(top_k=40))
    assert reply.sdk_http_response.headers["x-weir-dropped"] == "top_k", reply.sdk_http_response.headers


@check
def raises_when_a_stream_is_cut():
    seen = []

    def read():
        for chunk in stream("one two three four five six", model="echo-cut"):
            seen.append(chunk)

    error = raised(errors.APIError, read)
    assert seen, "nothing came before the cut"
    assert info(error)["reason"] == "upstream-broken", error


@check
def works_without_waiting():
    async def both():
        models = client.aio.models
        one = models.generate_content(model="fast", contents="first of gemini")
        two = await models.generate_content_stream(model="fast", contents="second of gemini")
        return (await one).text, "".join([chunk.text or "" async for chunk in two])

    assert asyncio.run(both()) == ("echo: first of gemini", "echo: second of gemini")


run(f"google-genai for Python {genai.__version__}")
