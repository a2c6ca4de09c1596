"""A scripted upstream: records every request and answers as OpenAI's API does, streamed or not.

What is said is up to a script, a function from a `Request` to `Text` or `Call`s; how it is said on each API is here.
"""

import gzip
import itertools
import json
import threading
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CREATED = 1_700_000_000


@dataclass(frozen=True)
class Text:
    """Words of the assistant; streamed piece by piece."""

    text: str

    def pieces(self):
        """Ends of pieces fall inside words and between the bytes of no character, as a tokeniser's would."""
        return [self.text[at : at + 7] for at in range(0, len(self.text), 7)]


@dataclass(frozen=True)
class Call:
    """A call of one of the client's tools. `arguments`: an object; or a string, for a tool that takes free text."""

    name: str
    arguments: object
    id: str = "call_1"
    namespace: str | None = None

    @property
    def is_custom(self):
        return isinstance(self.arguments, str)

    @property
    def written(self):
        return self.arguments if self.is_custom else json.dumps(self.arguments)

    def pieces(self):
        return [self.written[at : at + 11] for at in range(0, len(self.written), 11)]


@dataclass
class Request:
    """One request as it arrived."""

    number: int
    method: str
    path: str
    headers: list
    raw: bytes
    body: bytes = b""
    json: object = None

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    def save(self, folder):
        """NNN.head: request line and headers; NNN.raw: the bytes on the wire; NNN.body: decoded, where that differs."""
        head = [f"{self.method} {self.path}", *(f"{name}: {value}" for name, value in self.headers)]
        (folder / f"{self.number:03}.head").write_text("\n".join(head) + "\n")
        if self.raw:
            (folder / f"{self.number:03}.body").write_bytes(self.body)
            if self.raw != self.body:
                (folder / f"{self.number:03}.raw").write_bytes(self.raw)


def decoded(raw, encoding):
    """The body without its content encoding. zstd is decoded by a package that is needed only if a client sends it."""
    if encoding in (None, "", "identity"):
        return raw
    if encoding == "gzip":
        return gzip.decompress(raw)
    if encoding == "deflate":
        return zlib.decompress(raw)
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    raise ValueError(f"content-encoding {encoding}")


# --- chat completions


def chat_whole(request, answers):
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.written}}
        for call in answers
        if isinstance(call, Call)
    ]
    text = "".join(answer.text for answer in answers if isinstance(answer, Text))
    message = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.json.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish(answers)}],
        "usage": chat_usage(request),
    }


def chat_events(request, answers):
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": request.json.get("model"),
    }
    wants_usage = (request.json.get("stream_options") or {}).get("include_usage")

    def chunk(delta, end=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        return {**head, "choices": [choice], **({"usage": None} if wants_usage else {})}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    calls = 0
    for answer in answers:
        if isinstance(answer, Text):
            yield from (chunk({"content": piece}) for piece in answer.pieces())
            continue
        first = {"index": calls, "id": answer.id, "type": "function"}
        yield chunk({"tool_calls": [{**first, "function": {"name": answer.name, "arguments": ""}}]})
        for piece in answer.pieces():
            yield chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]})
        calls += 1
    yield chunk({}, finish(answers))
    if wants_usage:
        yield {**head, "choices": [], "usage": chat_usage(request)}


def finish(answers):
    return "tool_calls" if any(isinstance(answer, Call) for answer in answers) else "stop"


def chat_usage(_request):
    # The same whatever was sent, so that a client's words about it are the same too.
    return {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}


# --- responses


def response_items(answers, status):
    """The output items; while they are in progress, without what they say."""
    items = []
    for at, answer in enumerate(answers):
        full = status == "completed"
        if isinstance(answer, Text):
            part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
            item = {"id": f"msg_{at}", "type": "message", "role": "assistant", "content": [part] if full else []}
        elif answer.is_custom:
            item = {"id": f"ctc_{at}", "type": "custom_tool_call", "input": answer.written if full else ""}
        else:
            item = {"id": f"fc_{at}", "type": "function_call", "arguments": answer.written if full else ""}
        if isinstance(answer, Call):
            item |= {"call_id": answer.id, "name": answer.name}
            item |= {"namespace": answer.namespace} if answer.namespace else {}
        items.append({**item, "status": status})
    return items


def response_whole(request, answers, status="completed"):
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1020,
    }
    done = status == "completed"
    return {
        "id": f"resp_{request.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": request.json.get("model"),
        "output": response_items(answers, status) if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "usage": usage if done else None,
    }


def response_events(request, answers):
    count = itertools.count()

    def event(kind, **fields):
        return {"type": kind, "sequence_number": next(count), **fields}

    yield event("response.created", response=response_whole(request, answers, "in_progress"))
    yield event("response.in_progress", response=response_whole(request, answers, "in_progress"))
    started, complete = response_items(answers, "in_progress"), response_items(answers, "completed")
    for at, answer in enumerate(answers):
        place = {"item_id": started[at]["id"], "output_index": at}
        yield event("response.output_item.added", output_index=at, item=started[at])
        if isinstance(answer, Text):
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            place["content_index"] = 0
            yield event("response.content_part.added", **place, part=part)
            for piece in answer.pieces():
                yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
            yield event("response.output_text.done", **place, text=answer.text, logprobs=[])
            yield event("response.content_part.done", **place, part={**part, "text": answer.text})
        else:
            kind, key = "function_call_arguments", "arguments"
            if answer.is_custom:
                kind, key = "custom_tool_call_input", "input"
            for piece in answer.pieces():
                yield event(f"response.{kind}.delta", **place, delta=piece)
            yield event(f"response.{kind}.done", **place, **{key: answer.written})
        yield event("response.output_item.done", output_index=at, item=complete[at])
    yield event("response.completed", response=response_whole(request, answers))


# --- legacy completions


def completion_whole(request, answers):
    choice = {"index": 0, "text": answers[0].text, "logprobs": None, "finish_reason": "stop"}
    return completion(request, choice)


def completion_events(request, answers):
    for piece in answers[0].pieces():
        yield completion(request, {"index": 0, "text": piece, "logprobs": None, "finish_reason": None})
    yield completion(request, {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"})


def completion(request, choice):
    head = {"id": "cmpl-1", "object": "text_completion", "created": CREATED, "model": request.json.get("model")}
    return {**head, "choices": [choice], "usage": chat_usage(request)}


APIS = {
    "/v1/chat/completions": (chat_whole, chat_events),
    "/v1/responses": (response_whole, response_events),
    "/v1/completions": (completion_whole, completion_events),
}


class Upstream(ThreadingHTTPServer):
    """Listens on a free port of the loopback from the start; `serve_in_background` answers."""

    daemon_threads = True

    def __init__(self, script=None, models=("gpt-4o",)):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = models
        self.lock = threading.Lock()
        self.begin(script)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def begin(self, script, folder=None):
        """From here on answers by `script`, counts from 1, and records into `folder`."""
        with self.lock:
            self.script, self.folder = script, folder
            self.seen, self.said, self.failures, self.outside = [], [], [], []
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)

    def serve_in_background(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def record(self, request):
        with self.lock:
            request.number = len(self.seen) + 1
            self.seen.append(request)
            if self.folder:
                request.save(Path(self.folder))

    def handle_error(self, request, client_address):
        """A client that hangs up is no failure of the upstream."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def arrived(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = Request(0, self.command, self.path, list(self.headers.items()), raw)
        try:
            request.body = decoded(raw, request.header("content-encoding"))
            request.json = json.loads(request.body) if raw else None
        except (ImportError, ValueError) as error:
            self.server.failures.append(f"{self.command} {self.path}: {error}")
            request.body = request.body or raw
        self.server.record(request)
        return request

    def do_CONNECT(self):
        """This is also the proxy that clients are told to use for all but the loopback: it lets nothing out."""
        self.server.outside.append(self.path)
        self.refuse(403, "no way out of this test")

    def do_GET(self):
        if not self.path.startswith("/"):
            return self.do_CONNECT()
        if self.headers.get("upgrade"):
            return self.refuse(426, "there are no WebSockets here")
        request = self.arrived()
        path = request.path.split("?")[0]
        if path == "/v1/models":
            model = {"object": "model", "created": CREATED, "owned_by": "openai"}
            return self.answer({"object": "list", "data": [{"id": name, **model} for name in self.server.models]})
        self.refuse(404, f"Invalid URL (GET {path})")

    def do_POST(self):
        request = self.arrived()
        api = APIS.get(request.path.split("?")[0])
        if not api or not isinstance(request.json, dict):
            return self.refuse(404, f"Invalid URL (POST {request.path})")
        try:
            answers = self.server.script(request)
        except Exception as error:  # a script that does not know what to say is a failed check, not a dead thread
            self.server.failures.append(f"request {request.number}: {type(error).__name__}: {error}")
            return self.refuse(400, "the script has no answer to this request")
        answers = answers if isinstance(answers, list) else [answers]
        self.server.said.extend(answer.text for answer in answers if isinstance(answer, Text))
        whole, events = api
        if request.json.get("stream"):
            self.stream(request, events(request, answers))
        else:
            self.answer(whole(request, answers))

    def stream(self, request, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-request-id", f"req_{request.number}")
        self.end_headers()
        names_events = "/responses" in request.path
        for event in events:
            name = f"event: {event['type']}\n" if names_events else ""
            self.chunk(f"{name}data: {json.dumps(event, ensure_ascii=False)}\n\n")
        if not names_events:
            self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self.answer({"error": error}, status)
