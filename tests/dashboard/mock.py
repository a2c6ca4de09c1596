"""A stand-in for the admin port: serves the dashboard with its policy, and made-up figures that a test can change.

`python3 tests/dashboard/mock.py [PORT]` shows the page in a browser; `Mock` is for tests.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import random
import re
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "src/observe/dashboard.html"
RATIOS = [tenth / 10 for tenth in range(1, 10)]
# A path that is markup: shown as text it does no harm.
HOSTILE = '<img src=x onerror="document.title=1">/a.py'


def policy(page):
    """The Content-Security-Policy that Lopper sends: the page's one script and one style, by their hashes."""

    def hashes(tag):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in bodies)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def units_of(lines):
    """Top-level definitions, roughly, as [first, last, kind, name], the lines counted from 1."""
    found = [[1, 1, "imports", ""]]
    for number, line in enumerate(lines, 1):
        match = re.match(r"(    )?(def|class) (\w+)", line)
        if match and (match[1] or match[2] in ("def", "class")):
            found.append([number, number, "type" if match[2] == "class" else "function", match[3]])
    for unit, after in zip(found, found[1:] + [[len(lines) + 1]]):
        unit[1] = after[0] - 1
    return found


def ranges(numbers):
    """Sorted numbers as [first, last] pairs."""
    pairs = []
    for number in numbers:
        if pairs and pairs[-1][1] == number - 1:
            pairs[-1][1] = number
        else:
            pairs.append([number, number])
    return pairs


def block(path, source, question, verdict="compressed", **more):
    """A block of an explanation, judged by chance (always the same)."""
    lines = source.splitlines()
    chance = random.Random(path)
    made = []
    for first, last, kind, name in units_of(lines):
        tokens = sum(len(line) // 4 + 1 for line in lines[first - 1 : last])
        worth = None if kind == "imports" else round(chance.gauss(-0.5, 1.2), 3)
        made.append({"first": first, "last": last, "kind": kind, "name": name, "tokens": tokens, "worth": worth})
    by_worth = sorted((u for u in made if u["worth"] is not None), key=lambda u: -u["worth"])
    total = sum(unit["tokens"] for unit in made)

    def choose(ratio):
        left, kept = ratio * total, []
        for unit in by_worth:
            if unit["tokens"] <= left:
                left -= unit["tokens"]
                kept.append(unit)
        return kept, round(ratio * total - left)

    chosen, after = choose(0.4) if verdict == "compressed" else (made, total)
    for unit in made:
        rank = by_worth.index(unit) + 1 if unit in by_worth else None
        unit["rank"] = rank
        unit["likelihood"] = rank and round(0.5 / rank, 3)
        unit["decision"] = "whole" if unit in chosen else "dropped"
        unit["reason"] = "worth its tokens" if unit in chosen else "budget"
    if verdict == "compressed" and chosen:
        chosen[0]["reason"] = "named in the question"

    def lines_of(kept):
        return ranges(sorted(number for unit in kept for number in range(unit["first"], unit["last"] + 1)))

    return {
        "message": 3, "role": "user", "tool": None, "path": path, "language": "Python", "first_line": 1,
        "lines": len(lines), "tokens": total, "tokens_after": after, "question": question, "asked_in": 3,
        "names": ["reserve"], "rule": None, "mode": "on", "amount": "ratio 0.4", "fine": False, "verdict": verdict,
        "source": source, "kept": lines_of(chosen), "units": made if verdict == "compressed" else [],
        "at": [{"ratio": r, "tokens_after": choose(r)[1], "kept": lines_of(choose(r)[0])} for r in RATIOS]
        if verdict == "compressed" else [],
        **more,
    }


def explanation(number):
    question = "Why can a shipment fail although the pieces were reserved before?"
    inventory = (ROOT / "tests/fixtures/inventory.py").read_text()
    if number == 12:
        blocks = [
            block("warehouse/inventory.py", inventory, question),
            block("warehouse/small.py", "def price(item):\n    return item.price\n", question, "left alone: small",
                  tool="read_file", role="tool", rule="rule 2 at lopper.toml:31"),
        ]
    elif number == 11:
        blocks = [block(HOSTILE, "".join(
            f"def step_{i}(items):\n    # <b>{i}</b>\n    total = sum(item.price for item in items)\n    return total * {i}\n\n"
            for i in range(1000)), question)]
    else:
        return None
    before = sum(b["tokens"] for b in blocks) + 200
    return {
        "api": "chat", "model": "gpt-5", "outcome": "compressed", "tokens_before": before,
        "tokens_after": before - sum(b["tokens"] - b["tokens_after"] for b in blocks),
        "stages_ms": {"detect": 0.3, "parse": 1.2, "score": 30.1, "choose": 1.0, "splice": 0.2}, "blocks": blocks,
    }


OUTCOMES = ["compressed", "compressed", "skipped:small", "compressed", "unchanged", "compressed", "skipped:no-code",
            "failed:model", "audited"]


def request(number, now):
    chance = random.Random(number)
    outcome = "compressed" if number in (11, 12) else OUTCOMES[number % len(OUTCOMES)]
    before = None if outcome == "failed:model" else chance.randrange(900, 24000)
    after = before if before is None or outcome not in ("compressed", "audited") else int(before * chance.uniform(.3, .6))
    if number in (11, 12):
        before, after = explanation(number)["tokens_before"], explanation(number)["tokens_after"]
    return {
        "id": number, "at": now - (12 - number) * 47, "api": ["chat", "responses", "messages"][number % 3],
        "path": "/v1/chat/completions", "model": ["gpt-5", "gpt-5-mini", HOSTILE][number % 3], "status": 200,
        "outcome": outcome, "tokens_before": before, "tokens_after": after, "ms": chance.uniform(2, 80),
        "stages_ms": {"detect": 0.3, "parse": 1.2, "score": 30.1, "choose": 1.0, "splice": 0.2},
        "first_byte_ms": chance.uniform(200, 900),
        "usage": before and {"prompt": after, "cached": after // 3, "output": 210}, "cost": 0.02, "saved": 0.01,
        "group": ["treated", "held out", "treated", None][number % 4], "captured": number in (11, 12),
    }


def summary(state):
    now = state["now"]
    minute = now // 60 * 60
    chance = random.Random(3)
    points = []
    for age in range(59, -1, -1):
        requests = chance.choice([0, 0, 1, 2, 3, 5]) if 6 < age < 55 or age < 4 else 0
        before = sum(chance.randrange(2000, 21000) for _ in range(requests))
        points.append({"t": minute - 60 * age, "requests": requests, "tokens_before": before,
                       "tokens_after": int(before * chance.uniform(.35, .6)), "saved": before * 5e-7})
    prices = state["prices"]
    total = {"requests": 312, "with_code": 240, "compressed": 201, "failed": 3, "tokens_before": 1_248_000,
             "tokens_after": 491_000, "prompt_tokens": 512_300, "cached_tokens": 201_000, "output_tokens": 48_900,
             "cost": 0.8931 if prices else None, "saved": 0.5127 if prices else None}
    model = {k: total[k] for k in ("requests", "tokens_before", "tokens_after", "prompt_tokens", "cached_tokens",
                                   "output_tokens", "cost", "saved")}
    group = {"conversations": 90, "turns": 8.1, "cost": 0.114 if prices else None, "prompt_tokens": 9120.0}
    spread = {"p50": 31.2, "p90": 84.0, "p99": 412.0}
    empty = state["requests"] == 0
    return {
        "version": "0.1.0", "now": now, "uptime_s": 7384.0 + state["polls"], "listen": "http://127.0.0.1:8787",
        "upstream": "https://api.openai.com/v1", "scorer": "hybrid", "model": "Smollm2 135M (Q8_0)",
        "mode": state["mode"], "amount": "ratio 0.4", "preset": "balanced", "capture": state["capture"],
        "alarm": {"requests": 104, "reasons": [{"reason": "small", "count": 80}, {"reason": "no-query", "count": 24}]}
        if state["alarm"] else None,
        "totals": dict.fromkeys(total, 0) | {"cost": None, "saved": None} if empty else total,
        "latency_ms": None if empty else spread, "first_byte_ms": None if empty else {"p50": 310.0, "p90": 720.0, "p99": 1830.0},
        "series": {"step_s": 60, "points": [p | {"requests": 0, "tokens_before": 0, "tokens_after": 0} for p in points]
                   if empty else points},
        "models": [] if empty else [model | {"model": "gpt-5"}, model | {"model": HOSTILE, "requests": 2, "tokens_after": 900_000}],
        "outcomes": [] if empty else [
            {"outcome": "compressed", "count": 201}, {"outcome": "skipped:small", "count": 61},
            {"outcome": "skipped:no-code", "count": 31}, {"outcome": "unchanged", "count": 16},
            {"outcome": "failed", "count": 3}],
        "holdout": {"share": 0.1, "ready": state["ready"], "treated": group,
                    "held_out": group | {"conversations": 10, "turns": 7.9, "cost": 0.213 if prices else None,
                                         "prompt_tokens": 19010.0},
                    "differences": [
                        {"what": "cost", "treated_minus_held_out": -0.099, "low": -0.151, "high": -0.047},
                        {"what": "turns", "treated_minus_held_out": 0.2, "low": -0.9, "high": 1.3},
                        {"what": "prompt_tokens", "treated_minus_held_out": -9890.0, "low": -14100.0, "high": -5600.0},
                    ] if state["ready"] else []} if state["holdout"] else None,
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        state = self.server.state
        url = urllib.parse.urlsplit(self.path)
        state["seen"].append(self.path)
        page = PAGE.read_text()
        if state["broken"]:
            return self.answer(500, "text/plain", "broken")
        if url.path == "/":
            return self.answer(200, "text/html; charset=utf-8", page, {"Content-Security-Policy": policy(page)})
        if state["token"] and self.headers["Authorization"] != f"Bearer {state['token']}":
            return self.json(401, {"error": {"message": "a token is needed"}})
        if url.path == "/api/summary":
            state["polls"] += 1
            return self.json(200, summary(state))
        if url.path == "/api/requests":
            rows = [request(number, state["now"]) for number in range(state["requests"], 0, -1)]
            return self.json(200, {"requests": rows})
        found = re.fullmatch(r"/api/requests/(\d+)/explain", url.path)
        if found and (body := explanation(int(found[1]))):
            return self.json(200, body)
        return self.json(404, {"error": {"message": "nothing is captured under this number"}})

    def json(self, status, value):
        self.answer(status, "application/json", json.dumps(value))

    def answer(self, status, kind, text, headers={}):
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Mock:
    """A mock on a free port; change `state` and the next poll shows it."""

    def __init__(self, port=0):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.state = self.server.state = {
            "now": time.time(), "polls": 0, "alarm": False, "capture": 20, "token": None, "requests": 12, "prices": True,
            "ready": True, "holdout": True, "mode": "holdout:10", "broken": False, "seen": [],
        }
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    mock = Mock(int(sys.argv[1]) if len(sys.argv) > 1 else 8790)
    print(mock.url)
    threading.Event().wait()
