"""AWS's SDK for Python, its client for Bedrock (with TLS, without which it shows no bearer token)."""

import base64
import json
import os

from table import FORM, KEY, TOOLS, Told, run

os.environ["AWS_BEARER_TOKEN_BEDROCK"] = KEY
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError, EventStreamError  # noqa: E402

NAME = f"boto3 {boto3.__version__}, Converse"
SPEAKS = {"bedrock"}
CANNOT = {}
BLIND = set()
FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "calls", "content_filtered": "filter"}
client = boto3.client(
    "bedrock-runtime",
    region_name="eu-central-1",
    endpoint_url=os.environ["WEIR_ACROSS_TLS_URL"] + "/bedrock",
    config=Config(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=20),
    verify=os.environ["WEIR_ACROSS_CA"],
)


def block(part):
    if isinstance(part, str):
        return {"text": part}
    if "image" in part:
        return {"image": {"format": "png", "source": {"bytes": base64.b64decode(part["image"])}}}
    if "call" in part:
        call = part["call"]
        return {"toolUse": {"toolUseId": call["id"], "name": call["name"], "input": call["arguments"]}}
    return {"toolResult": {"toolUseId": part["result"], "content": [{"text": part["text"]}]}}


def fields(ask):
    names = [("maxTokens", "max_tokens"), ("temperature", "temperature"), ("topP", "top_p"), ("stopSequences", "stop")]
    wishes = {name: ask[one] for name, one in names if one in ask}
    out = {"inferenceConfig": wishes} if wishes else {}
    if "system" in ask:
        out["system"] = [{"text": ask["system"]}]
    if "tools" in ask:
        about = lambda name: {"description": TOOLS[name]["description"], "inputSchema": {"json": TOOLS[name]["schema"]}}
        out["toolConfig"] = {"tools": [{"toolSpec": {"name": name, **about(name)}} for name in ask["tools"]]}
    if choice := ask.get("choice"):
        out["toolConfig"]["toolChoice"] = {"any": {}} if choice == "any" else {"tool": {"name": choice}}
    if "form" in ask:
        form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(FORM), "name": "person"}}}
        out["outputConfig"] = {"textFormat": form}
    if "thinks" in ask:
        out["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    return out


def ask(model, ask, stream):
    role = {"user": "user", "assistant": "assistant", "tool": "user"}
    turns = [{"role": role[turn["role"]], "content": [block(part) for part in turn["parts"]]} for turn in ask["turns"]]
    said = {"modelId": model, "messages": turns, **fields(ask)}
    try:
        if stream:
            return streamed(client.converse_stream(**said)["stream"])
        reply = client.converse(**said)
        return answer(reply["output"]["message"]["content"], reply["stopReason"], reply["usage"])
    except EventStreamError as error:
        raise Told(None, code_of(error)) from error
    except ClientError as error:
        raise Told(error.response["ResponseMetadata"]["HTTPStatusCode"], code_of(error)) from error


# The SDK shows nothing of an error but its kind and its words.
WORDS = {
    "the provider rejected the request: scripted 400": "upstream-rejected",
    "the provider does not know the model": "upstream-rejected",
    "the provider refused the gateway's credential": "upstream-unauthorized",
    "the provider's rate limit is reached": "upstream-rate-limited",
    "the provider failed": "upstream-error",
    "the provider is overloaded": "upstream-error",
    "the provider's reply ended before its end": "upstream-broken",
    "the provider's stream ended before its end": "upstream-broken",
}


def code_of(error):
    said = error.response["Error"]["Message"]
    return WORDS.get(said, said)


def streamed(events):
    blocks, finish, usage = {}, None, None
    for event in events:
        [(kind, said)] = event.items()
        if kind == "contentBlockStart":
            blocks[said["contentBlockIndex"]] = {"toolUse": {**said["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            index, delta = said["contentBlockIndex"], said["delta"]
            if "text" in delta:
                blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
            elif "toolUse" in delta:
                blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "text" in delta["reasoningContent"]:
                thought = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})
                thought["reasoningContent"]["reasoningText"]["text"] += delta["reasoningContent"]["text"]
        elif kind == "messageStop":
            finish = said["stopReason"]
        elif kind == "metadata":
            usage = said["usage"]
    for one in blocks.values():
        if "toolUse" in one:
            one["toolUse"]["input"] = json.loads(one["toolUse"]["input"])
    return answer([one for _, one in sorted(blocks.items())], finish, usage)


def answer(content, finish, usage):
    # What is only sealed (`redactedContent`) is for the next turn.
    thoughts = [one["reasoningContent"].get("reasoningText", {}) for one in content if "reasoningContent" in one]
    cached = usage.get("cacheReadInputTokens", 0)
    return {
        "text": "".join(one.get("text", "") for one in content),
        "reasoning": "".join(thought.get("text", "") for thought in thoughts),
        "calls": [
            {"name": one["toolUse"]["name"], "arguments": one["toolUse"]["input"]} for one in content if "toolUse" in one
        ],
        "finish": FINISH[finish],
        "usage": {"input": usage["inputTokens"] + cached, "output": usage["outputTokens"], "cached": cached},
    }


if __name__ == "__main__":
    run(__import__("__main__"))
