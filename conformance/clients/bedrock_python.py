"""AWS's official SDK for Python, its client for Bedrock, against a gateway that serves the quickstart (WEIR_URL, WEIR_KEY;
with TLS, without which this SDK shows no bearer token: WEIR_TLS_URL, WEIR_CA).

The provider `echo` speaks OpenAI's dialect, so each call here is carried into it and back.
"""

import json
import os

URL, KEY = os.environ["WEIR_URL"], os.environ["WEIR_KEY"]
TLS_URL, CA = os.environ["WEIR_TLS_URL"], os.environ["WEIR_CA"]
# The SDK reads it anew for each call.
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = KEY
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError, EventStreamError  # noqa: E402
from checks import check, run  # noqa: E402


ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=20)


def connected(base=TLS_URL + "/bedrock"):
    return boto3.client("bedrock-runtime", region_name="eu-central-1", endpoint_url=base, config=ONCE, verify=CA)


def signing():
    """A client that signs, with keys that nobody knows."""
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "none"}
    config = ONCE.merge(Config(auth_scheme_preference="sigv4"))
    return boto3.client("bedrock-runtime", region_name="eu-central-1", endpoint_url=URL + "/bedrock", config=config, **keys)


client = connected()
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "send_mail",
                "description": "Sends a mail",
                "inputSchema": {
                    "json": {
                        "type": "object",
                        "properties": {"to": {"type": "string"}, "urgent": {"type": "boolean"}},
                        "required": ["to", "urgent"],
                    }
                },
            }
        }
    ],
    "toolChoice": {"any": {}},
}


def said(content, model="fast", **more):
    """What every call says, and more."""
    content = [{"text": content}] if isinstance(content, str) else content
    return {"modelId": model, "messages": [{"role": "user", "content": content}], **more}


def ask(content, client=client, **more):
    return client.converse(**said(content, **more))


def stream(content, client=client, **more):
    return list(client.converse_stream(**said(content, **more))["stream"])


def text(reply):
    return "".join(block.get("text", "") for block in reply["output"]["message"]["content"])


def words(events):
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    return "".join(delta.get("text", "") for delta in deltas)


def headers(reply):
    return reply["ResponseMetadata"]["HTTPHeaders"]


def raised(call, kind="ClientError"):
    """The error of this kind that the call raises."""
    try:
        call()
    except ClientError as error:
        assert type(error).__name__ == kind, repr(error)
        return error.response
    raise AssertionError(f"no {kind}")


@check
def answers():
    reply = ask("hello bedrock")
    assert text(reply) == "echo: hello bedrock", reply
    assert (reply["stopReason"], reply["output"]["message"]["role"]) == ("end_turn", "assistant"), reply
    usage = reply["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0, usage
    assert headers(reply)["x-weir-target"] == "echo/echo", headers(reply)
    assert reply["ResponseMetadata"]["RequestId"] == headers(reply)["x-request-id"], headers(reply)


@check
def answers_at_the_root():
    assert text(ask("at the root", client=connected(TLS_URL))) == "echo: at the root"


@check
def takes_ids_with_signs_that_a_path_escapes():
    assert text(ask("hi", model="echo-say-arn:aws:bedrock/1")) == "arn:aws:bedrock/1"


@check
def streams():
    events = stream("one two three four")
    assert words(events) == "echo: one two three four", events
    kinds = [next(iter(event)) for event in events]
    assert kinds[0] == "messageStart" and kinds[-3:] == ["contentBlockStop", "messageStop", "metadata"], kinds
    assert len(kinds) > 7 and set(kinds[1:-3]) == {"contentBlockDelta"}, kinds
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert events[-1]["metadata"]["usage"]["totalTokens"] > 0, events[-1]


@check
def takes_prompts_in_all_their_parts():
    content = [
        {"text": "look at this"},
        {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n\xff\xfe"}}},
        {"document": {"format": "txt", "name": "Rules", "source": {"bytes": b"no boats"}}},
        {"cachePoint": {"type": "default"}},
    ]
    reply = ask(content, system=[{"text": "be kind"}], additionalModelRequestFields={"top_k": 4})
    assert "look at this" in text(reply), reply
    assert headers(reply)["x-weir-dropped"] == "cache_control, top_k", headers(reply)


@check
def talks_in_turns():
    first = said("first turn")
    turns = first["messages"] + [ask("first turn")["output"]["message"], {"role": "user", "content": [{"text": "second turn"}]}]
    assert text(client.converse(**{**first, "messages": turns})) == "echo: second turn"


@check
def calls_a_tool_and_takes_its_result():
    first = said("write to ann@example.com", toolConfig=TOOLS)
    reply = client.converse(**first)
    assert reply["stopReason"] == "tool_use", reply
    call = reply["output"]["message"]["content"][-1]["toolUse"]
    assert call["name"] == "send_mail" and set(call["input"]) == {"to", "urgent"}, call
    assert "ann@example.com" in call["input"]["to"], "the address did not come back into the arguments"
    result = {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "sent"}], "status": "success"}}
    turns = first["messages"] + [reply["output"]["message"], {"role": "user", "content": [result]}]
    reply = client.converse(**{**first, "messages": turns, "toolConfig": {**TOOLS, "toolChoice": {"auto": {}}}})
    assert reply["stopReason"] == "end_turn" and text(reply) == "echo: sent", reply


@check
def streams_a_tool_call():
    events = stream("write to eve@example.com", toolConfig=TOOLS)
    [start] = [event["contentBlockStart"]["start"]["toolUse"] for event in events if "contentBlockStart" in event]
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    pieces = [delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta]
    assert start["name"] == "send_mail" and start["toolUseId"], start
    assert "eve@example.com" in json.loads("".join(pieces))["to"], pieces
    assert events[-2]["messageStop"]["stopReason"] == "tool_use", events[-2]


@check
def thinks_before_it_answers():
    blocks = ask("why?", model="echo-think")["output"]["message"]["content"]
    assert list(blocks[0]) == ["reasoningContent"] and "why" in blocks[0]["reasoningContent"]["reasoningText"]["text"], blocks
    assert blocks[1]["text"] == "echo: why?", blocks


@check
def cuts_at_the_most_tokens():
    reply = ask("one two three four five", inferenceConfig={"maxTokens": 3})
    assert (reply["stopReason"], reply["usage"]["outputTokens"]) == ("max_tokens", 3), reply


@check
def puts_personal_data_back_into_a_stream():
    got = words(stream("mail bob@example.com or call +49 30 901820"))
    assert got == "echo: mail bob@example.com or call +49 30 901820", got


@check
def tells_what_a_cache_said():
    one, two = ask("asked twice of bedrock"), ask("asked twice of bedrock")
    assert [headers(reply)["x-weir-cache"] for reply in (one, two)] == ["miss", "hit"]
    assert text(one) == text(two) == "echo: asked twice of bedrock"
    assert words(stream("asked twice of bedrock")) == "echo: asked twice of bedrock"


@check
def falls_back_when_a_model_fails():
    reply = ask("anyone, bedrock?", model="echo-status-500")
    assert headers(reply)["x-weir-target"] == "echo/echo" and text(reply) == "echo: anyone, bedrock?"


@check
def refuses_a_wrong_key():
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "wr_wrong"
    try:
        error = raised(lambda: ask("hi", client=connected()), "AccessDeniedException")
    finally:
        os.environ["AWS_BEARER_TOKEN_BEDROCK"] = KEY
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 401, error
    assert error["Error"]["Message"].startswith("the key is unknown"), error


@check
def refuses_a_signature_and_says_what_to_show():
    error = raised(lambda: ask("hi", client=signing()), "AccessDeniedException")
    assert "AWS_BEARER_TOKEN_BEDROCK" in error["Error"]["Message"], error


@check
def takes_the_key_beside_a_signature():
    other = signing()
    other.meta.events.register("before-sign.bedrock-runtime.*", lambda request, **_: request.headers.add_header("x-api-key", KEY))
    assert text(ask("beside", client=other)) == "echo: beside"
    assert words(stream("beside, streamed", client=other)) == "echo: beside, streamed"


@check
def refuses_a_model_that_nobody_knows():
    error = raised(lambda: ask("hi", model="unheard-of"), "ResourceNotFoundException")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 404, error


@check
def tells_why_a_guard_denies():
    for call in (ask, stream):
        error = raised(lambda call=call: call("this is TOP SECRET"), "AccessDeniedException")
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 403, error
        assert "top secret papers stay in the house" in error["Error"]["Message"], error


@check
def tells_what_the_target_has_no_place_for():
    guardrail = {"guardrailIdentifier": "g", "guardrailVersion": "1"}
    error = raised(lambda: ask("hi", guardrailConfig=guardrail), "ValidationException")
    assert "guardrailConfig" in error["Error"]["Message"], error
    counted = {"converse": {"messages": said("how many?")["messages"]}}
    raised(lambda: client.count_tokens(modelId="fast", input=counted), "ValidationException")


@check
def raises_when_a_stream_is_cut():
    seen = []

    def read():
        for event in client.converse_stream(**said("one two three four five six", model="echo-cut"))["stream"]:
            seen.append(event)

    try:
        read()
    except EventStreamError as error:
        assert error.response["Error"]["Code"] == "internalServerException", error.response
    else:
        raise AssertionError("no error")
    assert seen and not any("messageStop" in event for event in seen), seen


run(f"boto3 for Python {boto3.__version__}")
