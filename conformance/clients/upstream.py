"""A provider of all dialects that answers by its model's name: `upstream.py`, then its port on standard output.

`POST /{dialect}/…` is answered as the scenario says that the model's name ends in, if the request says what the scenario asks,
and else refused with what differs; a model whose name ends in no scenario's does what it is asked. Ends when its standard input
does.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest

from providers import anthropic, bedrock, cohere, gemini, obedient, openai
from scenarios import SCENARIOS

PROVIDERS = {"openai": openai, "anthropic": anthropic, "gemini": gemini, "bedrock": bedrock, "cohere": cohere}
STREAM = {"bedrock": "application/vnd.amazon.eventstream"}


def wanted(scenario, dialect):
    """What must arrive."""
    ask = {**scenario["ask"], **scenario.get("arrives", {}).get(dialect, {})}
    return {name: value for name, value in ask.items() if value not in (None, "", [], False)}


def without_ids(turns):
    """Turns whose calls and results are told apart by their order alone: some clients and providers have no ids."""
    names = {}

    def plain(part):
        if isinstance(part, dict) and "call" in part:
            number = names.setdefault(part["call"]["id"], len(names))
            return {"call": {**part["call"], "id": number}}
        if isinstance(part, dict) and "result" in part:
            return {"result": names.get(part["result"]), "text": part["text"]}
        return part

    return [{**turn, "parts": [plain(part) for part in turn["parts"]]} for turn in turns]


def differs(scenario, dialect, read):
    """The first thing that did not arrive as it was said."""
    want = wanted(scenario, dialect)
    # Anthropic's API wants a limit: the gateway gives one to clients that name none, and its clients name this one.
    read = {name: value for name, value in read.items() if (name, value) != ("max_tokens", 32000)}
    for name in sorted(want.keys() | read.keys()):
        one, other = want.get(name), read.get(name)
        if name == "turns":
            one, other = without_ids(one), without_ids(other)
            pairs = [pair for pair in zip_longest(one, other) if pair[0] != pair[1]]
            one, other = pairs[0] if pairs else (None, None)
        if one != other:
            return f"{name}: asked {json.dumps(one)[:400]}, arrived {json.dumps(other)[:400]}"
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def do_POST(self):
        dialect, _, path = self.path.lstrip("/").partition("/")
        provider, body = PROVIDERS[dialect], json.loads(self.body())
        model = provider.model("/" + path, body)
        if model is None:
            return self.embed(provider, "/" + path, body)
        scenario = SCENARIOS.get(model.rpartition("@")[2])
        try:
            read, tools, form = provider.read(body)
            wrong = scenario and differs(scenario, dialect, read)
            scenario = scenario or {"answer": obedient.answer(read, tools, form)}
        except Exception as error:
            wrong = f"cannot be read: {error!r} in {json.dumps(body)[:600]}"
        if wrong:
            headers, said = provider.error(400)
            return self.whole(400, headers, json.loads(json.dumps(said).replace("scripted 400", json.dumps(wrong)[1:-1])))
        if status := scenario.get("error"):
            return self.whole(status, *provider.error(status))
        answer, breaks = scenario["answer"], scenario.get("breaks")
        if provider.streams("/" + path, body):
            events = list(provider.stream(answer, model))
            if breaks:
                events = events[: len(events) // 2] + ([provider.broken()] if breaks == "error" else [])
            return self.stream(STREAM.get(dialect, "text/event-stream"), events, breaks == "cut")
        if breaks == "error":
            return self.whole(500, *provider.error(500))
        self.whole(200, {}, provider.reply(answer, model), cut=breaks == "cut")

    def embed(self, provider, path, body):
        texts = provider.inputs(path, body) if hasattr(provider, "inputs") else None
        if texts is None:
            return self.whole(404, *provider.error(404))
        texts = [texts] if isinstance(texts, str) else texts
        self.whole(200, {}, provider.vectors([[len(text) / 100, 0.25, -0.5] for text in texts]))

    def whole(self, status, headers, body, cut=False):
        # As most write it: escapes where they need not be.
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut

    def stream(self, kind, events, cut):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        whole = b"".join(events)
        # Pieces that end where no event does.
        for at in range(0, len(whole), 701):
            piece = whole[at : at + 701]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = cut


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that leaves is no matter."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    # Who started it holds its standard input open; when that ends, so does this.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()
