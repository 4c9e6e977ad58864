"""Bedrock's Converse (docs.aws.amazon.com/bedrock/latest/APIReference), its streams in AWS's framing of events."""

import json
import struct
from binascii import crc32
from urllib.parse import unquote

from . import asked, merged, pieces, turn

FINISH = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "filter": "content_filtered"}
KINDS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    529: "ServiceUnavailableException",
}


def model(path, body):
    head, _, verb = path.partition("/model/")[2].rpartition("/")
    return unquote(head) if verb in ("converse", "converse-stream") else None


def streams(path, body):
    return path.endswith("/converse-stream")


def read(body):
    turns = []
    for message in body["messages"]:
        parts = [part_of(part) for part in message["content"]]
        results = [part for part in parts if isinstance(part, dict) and "result" in part]
        rest = [part for part in parts if part not in results]
        if results:
            turns.append(turn("tool", results))
        if rest:
            turns.append(turn(message["role"], rest))
    wishes = body.get("inferenceConfig", {})
    config = body.get("toolConfig", {})
    tools = [tool["toolSpec"] for tool in config.get("tools", [])]
    choice = config.get("toolChoice", {})
    form = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    return asked(
        "".join(part["text"] for part in body.get("system", [])),
        merged(turns),
        [(tool["name"], tool["inputSchema"]["json"]) for tool in tools],
        form and json.loads(form),
        choice=choice.get("tool", {}).get("name") or ("any" if "any" in choice else None),
        max_tokens=wishes.get("maxTokens"),
        temperature=wishes.get("temperature"),
        top_p=wishes.get("topP"),
        stop=wishes.get("stopSequences"),
        thinks="thinking" in body.get("additionalModelRequestFields", {}),
    )


def part_of(part):
    if "text" in part:
        return part["text"]
    if "image" in part:
        assert part["image"]["format"] == "png", part
        return {"image": part["image"]["source"]["bytes"]}
    if "reasoningContent" in part:
        said = part["reasoningContent"]["reasoningText"]
        return {"thought": said["text"], "signature": said["signature"]}
    if "toolUse" in part:
        made = part["toolUse"]
        return {"call": {"id": made["toolUseId"], "name": made["name"], "arguments": made["input"]}}
    result = part["toolResult"]
    said = [one["text"] if "text" in one else json.dumps(one["json"]) for one in result["content"]]
    return {"result": result["toolUseId"], "text": "".join(said)}


def usage(spent):
    return {
        "inputTokens": spent["input"] - spent["cached"],
        "outputTokens": spent["output"],
        "totalTokens": spent["input"] + spent["output"],
        "cacheReadInputTokens": spent["cached"],
        "cacheWriteInputTokens": 0,
    }


def reply(answer, model):
    content = []
    if answer["reasoning"]:
        said = {"text": answer["reasoning"], "signature": answer["signature"]}
        content.append({"reasoningContent": {"reasoningText": said}})
    if answer["text"]:
        content.append({"text": answer["text"]})
    for call in answer["calls"]:
        content.append({"toolUse": {"toolUseId": call["id"], "name": call["name"], "input": call["arguments"]}})
    return {
        "metrics": {"latencyMs": 12},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": FINISH[answer["finish"]],
        "usage": usage(answer["usage"]),
    }


def header(name, value):
    name, value = name.encode(), value.encode()
    return struct.pack("!B", len(name)) + name + b"\x07" + struct.pack("!H", len(value)) + value


def frame(kind, data, message="event"):
    headers = header(f":{message}-type", kind) + header(":content-type", "application/json") + header(":message-type", message)
    payload = json.dumps(data).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return head + struct.pack("!I", crc32(head))


def stream(answer, model):
    def deltas(index, deltas, start=None):
        if start:
            yield frame("contentBlockStart", {"contentBlockIndex": index, "start": start, "p": "ab"})
        for delta in deltas:
            yield frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta, "p": "abc"})
        yield frame("contentBlockStop", {"contentBlockIndex": index})

    index = 0
    yield frame("messageStart", {"role": "assistant", "p": "a"})
    if answer["reasoning"]:
        said = [{"reasoningContent": {"text": piece}} for piece in pieces(answer["reasoning"])]
        yield from deltas(index, [*said, {"reasoningContent": {"signature": answer["signature"]}}])
        index += 1
    if answer["text"]:
        yield from deltas(index, [{"text": piece} for piece in pieces(answer["text"])])
        index += 1
    for call in answer["calls"]:
        spelt = pieces(json.dumps(call["arguments"], ensure_ascii=False))
        start = {"toolUse": {"toolUseId": call["id"], "name": call["name"]}}
        yield from deltas(index, [{"toolUse": {"input": piece}} for piece in spelt], start)
        index += 1
    yield frame("messageStop", {"stopReason": FINISH[answer["finish"]]})
    yield frame("metadata", {"usage": usage(answer["usage"]), "metrics": {"latencyMs": 12}})


def broken():
    return frame("modelStreamErrorException", {"message": "The model failed"}, message="exception")


def error(status):
    return {"x-amzn-errortype": f"{KINDS[status]}:http://internal.amazon.com/"}, {"message": f"scripted {status}"}
