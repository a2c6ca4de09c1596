"""LiteLLM's proxy with Lopper beside it (guardrail) and behind it (api_base): what the upstream is sent of a long file.

Run by scripts/test-litellm. Starts a scripted upstream, Lopper and LiteLLM on free ports, with the settings of
examples/litellm/config.yaml but for the addresses.
"""

import argparse
import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "tests/fixtures/inventory.py").read_text()
QUESTION = "Why can a shipment fail although the pieces were reserved before?"
ASKED = f"{QUESTION}\n\n```python warehouse/inventory.py\n{SOURCE}```\n\nKeep it short."
FOLLOW_UP = "And who is told about it?"
PIECES = ["The ", "shelf ", "was ", "émptied ", "in ", "between", "."]
MARKER = re.compile(r"\s*# \[lopper: lines? (\d+)(?:-(\d+))? of warehouse/inventory\.py left out; .*\]")
KEY = "sk-1234-of-this-test"
STARTED_WITHIN = 120  # seconds; LiteLLM imports a lot


class Upstream(BaseHTTPRequestHandler):
    """Answers every chat request with PIECES and records what it was sent."""

    seen: "queue.Queue[dict]" = queue.Queue()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.put(body)
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(PIECES)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
            answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return self.send("application/json", json.dumps(answer))
        deltas = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": piece}, None) for piece in PIECES] + [({}, "stop")]
        events = [
            {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
            for delta, end in deltas
        ]
        self.send("text/event-stream", "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n")

    def send(self, kind, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(command, log, **options):
    """A process that ends with the block."""
    process = subprocess.Popen(command, stderr=log, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def lopper_address(process):
    for line in process.stdout:
        if "listening on http://" in line:
            return line.split("listening on ")[1].strip()
    raise SystemExit("lopper ended before it listened")


def wait_until_alive(url, process):
    until = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < until:
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            if process.poll() is not None:
                raise SystemExit("LiteLLM ended before it listened")
            time.sleep(0.2)
    raise SystemExit(f"LiteLLM is not up after {STARTED_WITHIN} s")


def settings(lopper, upstream):
    """The example's settings with the addresses of this run."""
    text = (ROOT / "examples/litellm/config.yaml").read_text()
    for address, here in (("http://127.0.0.1:8787", lopper), ("https://api.openai.com", upstream)):
        assert f"api_base: {address}" in text, address
        text = text.replace(f"api_base: {address}", f"api_base: {here}")
    return text


def ask(litellm, body):
    """The answer's text and headers, and the request that the upstream got."""
    request = urllib.request.Request(f"{litellm}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {KEY}")
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            headers, text = response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"LiteLLM answered {error.code}: {error.read().decode()[:2000]}")
    if body.get("stream"):
        events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]", events[-1]
        choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
        pieces = [choice["delta"].get("content") or "" for choice in choices]
        assert choices[-1]["finish_reason"] == "stop", choices[-1]
        pieces = [piece for piece in pieces if piece]
        assert pieces == PIECES, f"the stream came in other pieces: {pieces}"
        text = "".join(pieces)
    else:
        text = json.loads(text)["choices"][0]["message"]["content"]
    assert text == "".join(PIECES), text
    return headers, Upstream.seen.get(timeout=10)


def check_pruned(text):
    """Holds a pruned message against what was asked: words as they were, each line kept or in a marker's range."""
    before, rest = ASKED.split(SOURCE)[0], ASKED.split(SOURCE)[1]
    assert text.startswith(before) and text.endswith(rest), "the words around the code changed"
    lines, at, gone = SOURCE.splitlines(), 0, 0
    for line in text[len(before) : len(text) - len(rest)].splitlines():
        marker = MARKER.fullmatch(line)
        if marker:
            first, last = int(marker[1]), int(marker[2] or marker[1])
            assert first == at + 1, line
            gone, at = gone + last - first + 1, last
        else:
            assert line == lines[at], f"line {at + 1}: {line}"
            at += 1
    assert at == len(lines) and gone > len(lines) // 4, f"{gone} of {len(lines)} lines are gone"
    return gone


def check_sent(body, arrived):
    """What must be as the client sent it."""
    assert arrived.get("stream", False) == body.get("stream", False), "streaming was given up"
    assert "tools" not in arrived, arrived.get("tools")
    assert [message["role"] for message in arrived["messages"]] == [message["role"] for message in body["messages"]]
    assert arrived["messages"][1:] == body["messages"][1:], "later messages changed"
    assert arrived["temperature"] == body["temperature"]


def check(litellm, stop_lopper):
    conversation = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": "Somebody else was faster."},
        {"role": "user", "content": FOLLOW_UP},
    ]
    one_part = [{"role": "user", "content": [{"type": "text", "text": ASKED}]}, *conversation[1:]]
    for messages, model, guarded, stream in [
        (conversation, "gpt-4o", True, False),
        (conversation, "gpt-4o", True, True),
        (one_part, "gpt-4o", True, True),
        (conversation, "gpt-4o", False, True),
        (conversation, "gpt-4o-through-lopper", False, True),
        (conversation[:1], "gpt-4o-through-lopper", False, False),
    ]:
        body = {"model": model, "messages": messages, "temperature": 0.5, "stream": stream}
        headers, arrived = ask(litellm, {**body, "guardrails": ["lopper"]} if guarded else body)
        check_sent(body, arrived)
        applied = headers.get("x-litellm-applied-guardrails")
        assert applied == ("lopper" if guarded else None), applied
        content = arrived["messages"][0]["content"]
        if isinstance(content, list):
            assert len(content) == 1 and content[0]["type"] == "text", content
            content = content[0]["text"]
        way = "guardrail" if guarded else "api_base" if "lopper" in model else "neither"
        if way == "neither":
            assert content == ASKED, "compressed though nobody asked for it"
            gone = 0
        else:
            gone = check_pruned(content)
        print(f"   {way:9} {'streamed' if stream else 'whole':8} {len(messages)} messages: {gone:3} lines left out")
    stop_lopper()
    body = {"model": "gpt-4o", "messages": conversation, "temperature": 0.5, "stream": True}
    _, arrived = ask(litellm, {**body, "guardrails": ["lopper"]})
    check_sent(body, arrived)
    assert arrived["messages"][0]["content"] == ASKED
    print("   Lopper stopped: the request goes through as it is")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lopper", nargs="+", required=True, metavar="COMMAND", help="lopper, or a stand-in")
    arguments.add_argument("--litellm", required=True, metavar="COMMAND")
    arguments = arguments.parse_args()
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    upstream_url = f"http://127.0.0.1:{upstream.server_port}"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"OPENAI_API_KEY": "sk-upstream", "LITELLM_MASTER_KEY": KEY}
    environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        logs = {name: stack.enter_context((folder / f"{name}.log").open("w+")) for name in ("lopper", "litellm")}
        try:
            serve = [*arguments.lopper, "serve", "--listen", "127.0.0.1:0", "--upstream", f"{upstream_url}/v1"]
            lopper = stack.enter_context(running(serve, logs["lopper"], stdout=subprocess.PIPE, env=environment))
            address = lopper_address(lopper)
            (folder / "config.yaml").write_text(settings(address, upstream_url))
            port = free_port()
            start = [arguments.litellm, "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
            options = {"stdout": logs["litellm"], "env": environment, "cwd": folder}
            litellm = stack.enter_context(running(start, logs["litellm"], **options))
            wait_until_alive(f"http://127.0.0.1:{port}/health/liveliness", litellm)

            def stop_lopper():
                lopper.terminate()
                lopper.wait(timeout=60)

            check(f"http://127.0.0.1:{port}", stop_lopper)
        except BaseException:
            for name in logs:
                text = (folder / f"{name}.log").read_text()
                print(f"--- the end of {name}'s log\n{text[-3000:]}", file=sys.stderr)
            raise
    upstream.shutdown()


if __name__ == "__main__":
    main()
