"""Takes the README's pictures of the dashboard: scripts/screenshots.

A real Lopper forwards real assistants' requests (tests/fixtures/wire) to a stand-in for the upstream, and a browser looks at
its admin port.
"""

import argparse
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.error
import urllib.request

from browser import Browser

ROOT = pathlib.Path(__file__).parents[2]
WIRE = ROOT / "tests/fixtures/wire"
QUESTION = "Why can a shipment fail although the pieces were reserved before?"
SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
[upstream]
base_url = "{upstream}"
[scorer]
model = "{model}"
[admin]
listen = "127.0.0.1:{admin}"
[observe]
capture = 20
[[price]]
model = "*"
input = 1.25
cached = 0.125
output = 10.0
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers every request in a few words, and bills what it was sent at four characters a token."""

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(size))
        words = "It can: pieces are reserved by number, and shipped by shelf."
        usage = {"prompt_tokens": size // 4, "completion_tokens": 180, "total_tokens": size // 4 + 180,
                 "prompt_tokens_details": {"cached_tokens": size // 12}}
        answer = {"id": "1", "object": "chat.completion", "model": asked.get("model"), "usage": usage,
                  "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}]}
        if self.path.endswith("/responses"):
            answer = {"id": "1", "object": "response", "status": "completed", "model": asked.get("model"),
                      "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]}],
                      "usage": {"input_tokens": size // 4, "input_tokens_details": {"cached_tokens": size // 12}, "output_tokens": 180,
                                "total_tokens": size // 4 + 180}}
        if self.path.endswith("/messages"):
            answer = {"id": "1", "type": "message", "role": "assistant", "model": asked.get("model"), "stop_reason": "end_turn",
                      "content": [{"type": "text", "text": words}],
                      "usage": {"input_tokens": size // 6, "cache_read_input_tokens": size // 12, "output_tokens": 180}}
        # What a large model takes to its first word, roughly; the pictures show it as the upstream's time.
        time.sleep(0.3)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def post(url, body):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=120) as answer:
        answer.read()


def requests():
    """Path and body of each request: those of the fixtures, and a question about a long file every few of them."""
    fixtures = tomllib.loads((WIRE / "fixtures.toml").read_text())["fixture"]
    inventory = (ROOT / "tests/fixtures/inventory.py").read_text()
    ask = {"model": "gpt-5", "messages": [{"role": "user", "content": f"{QUESTION}\n\n`warehouse/inventory.py`\n```python\n{inventory}```\n"}]}
    made = []
    for number, fixture in enumerate(fixtures):
        if number % 6 == 5:
            made.append(("/v1/chat/completions", json.dumps(ask | {"user": str(number)}).encode()))
        body = json.loads((WIRE / f"{fixture['name']}.json").read_text()) | {"stream": False}
        made.append((fixture["path"], json.dumps(body).encode()))
    return [*made, ("/v1/chat/completions", json.dumps(ask).encode())]


def settle(page):
    """Waits until nothing that arrived is being pointed out any more."""
    time.sleep(2.5)
    if page.problems:
        raise SystemExit(f"error: the browser reports {page.problems}")


def take(admin, folder):
    with Browser(1120, 860) as page:
        page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        page.open(admin)
        page.until("document.querySelectorAll('#requests tbody tr').length > 3")
        settle(page)
        page.picture(folder / "overview.png")

        newest = page.run("document.querySelector('#requests a').getAttribute('href')")
        page.size(1120, 700)
        page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
        page.open(admin + newest)
        page.until("document.querySelector('.row.dropped')")
        # Of the kept units with dropped ones around them the one that is worth most, its reason shown.
        page.run("""(() => {
            const rank = (button) => Number(/ rank (\\d+) of /.exec(button.getAttribute('aria-label'))?.[1] ?? Infinity);
            const kept = [...document.querySelectorAll('.units .out + .whole')].filter((unit) => unit.matches(':has(+ .out)'));
            const unit = kept.sort((a, b) => rank(a) - rank(b))[0] || document.querySelector('.units button');
            unit.scrollIntoView({ block: 'center' });
            unit.focus({ preventScroll: true });
        })()""")
        settle(page)
        page.picture(folder / "request.png")

        page.size(360, 740)
        page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        page.open(admin)
        page.until("document.querySelectorAll('#requests tbody tr').length > 3")
        settle(page)
        page.picture(folder / "phone.png")


def main():
    # Stopped from outside, it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser()
    parser.add_argument("--lopper", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)

    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as work:
        settings = pathlib.Path(work) / "lopper.toml"
        settings.write_text(SETTINGS.format(port=port, admin=admin, model=args.model.resolve(),
                                            upstream=f"http://127.0.0.1:{upstream.server_port}/v1"))
        log = pathlib.Path(work) / "log"
        with log.open("w") as out:
            lopper = subprocess.Popen([args.lopper.resolve(), "serve", "--config", settings], cwd=work, stdout=out, stderr=out)
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5).close()
                    break
                except (OSError, urllib.error.URLError):
                    if lopper.poll() is not None or time.monotonic() > end:
                        raise SystemExit(f"error: Lopper is not ready:\n{log.read_text()}") from None
                    time.sleep(0.2)
            todo = requests()
            begin = time.monotonic()
            for number, (path, body) in enumerate(todo):
                # At random places of its share of the time would look livelier; evenly is the same each time.
                due = begin + number / len(todo) * args.minutes * 60
                time.sleep(max(0, due - time.monotonic()))
                post(f"http://127.0.0.1:{port}{path}", body)
            take(f"http://127.0.0.1:{admin}/", args.folder)
        finally:
            lopper.terminate()
            lopper.wait()
    for picture in sorted(args.folder.glob("*.png")):
        print(f"   {os.path.relpath(picture, ROOT)}  {picture.stat().st_size / 1000:.0f} kB")


main()
