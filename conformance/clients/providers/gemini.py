"""Gemini's generateContent (ai.google.dev/api/generate-content)."""

import json
from urllib.parse import unquote

from . import asked, merged, minted, pieces, sse, turn

# It has no word for calls.
FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP", "filter": "SAFETY"}
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def model(path, body):
    head, _, verb = unquote(path).partition("/v1beta/models/")[2].rpartition(":")
    return head if verb.partition("?")[0] in ("generateContent", "streamGenerateContent") else None


def streams(path, body):
    return ":streamGenerateContent" in unquote(path)


def read(body):
    turns = []
    for content in body["contents"]:
        parts = [part_of(part) for part in content["parts"] if "thought" not in part]
        # The signature stands with the words behind the thought.
        seal = [part["thoughtSignature"] for part in content["parts"] if "thoughtSignature" in part]
        thought = "".join(part["text"] for part in content["parts"] if "thought" in part)
        if thought:
            parts = [{"thought": thought, "signature": "".join(seal)}, *parts]
        results = [part for part in parts if isinstance(part, dict) and "result" in part]
        rest = [part for part in parts if part not in results]
        if results:
            turns.append(turn("tool", results))
        if rest:
            turns.append(turn("assistant" if content["role"] == "model" else "user", rest))
    wishes = body.get("generationConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    functions = [one for tool in body.get("tools", []) for one in tool["functionDeclarations"]]
    any_json = {"type": "object"} if wishes.get("responseMimeType") == "application/json" else None
    form = wishes.get("responseJsonSchema") or wishes.get("responseSchema") or any_json
    return asked(
        "".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", [])),
        merged(turns),
        [(one["name"], one.get("parametersJsonSchema", {})) for one in functions],
        form,
        choice=(calling.get("allowedFunctionNames", ["any"])[0]) if calling.get("mode") == "ANY" else {"NONE": "none"}.get(calling.get("mode")),
        max_tokens=wishes.get("maxOutputTokens"),
        temperature=wishes.get("temperature"),
        top_p=wishes.get("topP"),
        stop=wishes.get("stopSequences"),
        thinks="thinkingConfig" in wishes,
    )


def inputs(path, body):
    if ":batchEmbedContents" not in unquote(path):
        return None
    return ["".join(part["text"] for part in one["content"]["parts"]) for one in body["requests"]]


def vectors(vectors):
    return {"embeddings": [{"values": vector} for vector in vectors]}


def part_of(part):
    if "text" in part:
        return part["text"]
    if "inlineData" in part:
        assert part["inlineData"]["mimeType"] == "image/png", part
        return {"image": part["inlineData"]["data"]}
    if "functionCall" in part:
        made = part["functionCall"]
        return {"call": {"id": made.get("id"), "name": made["name"], "arguments": made["args"]}}
    result = part["functionResponse"]
    said = result["response"]
    # What is JSON already is passed as such.
    return {"result": result.get("id"), "text": said["output"] if "output" in said else json.dumps(said)}


def parts(answer):
    """The parts of an answer, each in the pieces that a stream has."""
    seal = {"thoughtSignature": answer["signature"]} if answer["signature"] else {}
    if answer["reasoning"]:
        yield [{"text": piece, "thought": True} for piece in pieces(answer["reasoning"])]
    if answer["text"]:
        said = [{"text": piece} for piece in pieces(answer["text"])]
        said[-1] |= seal
        yield said
    for call in answer["calls"]:
        yield [{"functionCall": {"id": call["id"], "name": call["name"], "args": call["arguments"]}}]


def usage(spent):
    out = {
        "promptTokenCount": spent["input"],
        "candidatesTokenCount": spent["output"],
        "totalTokenCount": spent["input"] + spent["output"],
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": spent["input"]}],
    }
    return out | ({"cachedContentTokenCount": spent["cached"]} if spent["cached"] else {})


def candidate(parts, finish=None):
    said = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return said | ({"finishReason": finish} if finish else {})


def reply(answer, model):
    whole = []
    for group in parts(answer):
        first = dict(group[0])
        if "text" in first:
            first["text"] = "".join(piece["text"] for piece in group)
        whole.append(first | {name: value for name, value in group[-1].items() if name == "thoughtSignature"})
    return {
        "candidates": [candidate(whole, FINISH[answer["finish"]])],
        "usageMetadata": usage(answer["usage"]),
        "modelVersion": model,
        "responseId": minted("r"),
    }


def stream(answer, model):
    id = minted("r")

    def chunk(parts, finish=None, spent=None):
        counts = usage(spent) if spent else {"promptTokenCount": answer["usage"]["input"]}
        said = {"candidates": [candidate(parts, finish)], "usageMetadata": counts}
        return sse({**said, "modelVersion": model, "responseId": id}, end="\r\n\r\n")

    for group in parts(answer):
        for piece in group:
            yield chunk([piece])
    yield chunk([{"text": ""}], FINISH[answer["finish"]], answer["usage"])


def broken():
    said = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    return sse(said, end="\r\n\r\n")


def error(status):
    said = {"code": status, "message": f"scripted {status}", "status": STATUS.get(status, "INTERNAL")}
    return {}, {"error": said}
