"""Whether the upstream got through Lopper what it got directly, but for lines of code that a marker stands for.

Bodies are compared token by token, as they were written: everything between two strings must be the same bytes, and
every string the same bytes or a pruned text. Before, `normal` takes out what differs between any two runs of a client.
"""

import json
import re
from dataclasses import dataclass, field

from play import items, result_of

MARKER = re.compile(r"^[ \t]*[^\w\s]* ?\[lopper: lines? (\d+)(?:-(\d+))?(?: of (.+?))? left out; .*\]")
STRING = re.compile(r'("(?:[^"\\]|\\.)*")', re.DOTALL)

# What no two runs of the same client have in common.
VOLATILE = [
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])"), "<uuid>"),
    (re.compile(r"\b(ses|msg|prt|tool)_[0-9A-Za-z]{20,}"), r"<\1>"),
    (re.compile(r"\b1[789]\d{11}\b"), "<milliseconds>"),
    (re.compile(r"\b20\d\d-\d\d-\d\d\b"), "<date>"),
    (re.compile(r"(Chunk ID: )[0-9a-f]+"), r"\1<chunk>"),
    (re.compile(r'(chunk_id\\*":\\*")[0-9a-f]+'), r"\1<chunk>"),
    (re.compile(r'(wall_time_seconds\\*":)[0-9.e-]+'), r"\g<1>0"),
    (re.compile(r'(create_time":)[0-9.]+'), r"\g<1>0"),
    (re.compile(r"(Wall time:? )[0-9.]+( seconds)"), r"\1<s>\2"),
    (re.compile(r"(took )[0-9.]+(ms|s)\b"), r"\1<time>\2"),
]
# Codex writes the pairs of this object in random order.
UNORDERED = re.compile(r'("client_metadata":)(\{(?:"(?:[^"\\]|\\.)*":"(?:[^"\\]|\\.)*",?)*\})')
# What a proxy sets itself, or has to.
OF_THE_CONNECTION = {"host", "connection", "content-length", "transfer-encoding", "content-encoding"}


def normal(text):
    for pattern, instead in VOLATILE:
        text = pattern.sub(instead, text)
    return UNORDERED.sub(lambda found: found[1] + json.dumps(sorted(json.loads(found[2]).items())), text)


@dataclass
class Findings:
    """Of one client: what is wrong, and what Lopper did."""

    wrong: list = field(default_factory=list)
    changed_elsewhere: int = 0
    history_bytes_changed: int = 0
    lines_left_out: int = 0

    def elsewhere(self, text):
        self.changed_elsewhere += 1
        self.wrong.append(text)


def compare(direct, through, pruned, whole):
    """`direct`, `through`: the requests of the two runs. `pruned`: call ids and paths whose text must have got shorter;
    `whole`: call ids whose result must have arrived as the client sent it."""
    findings = Findings()
    shown = [f"{request.method} {request.path}" for request in direct]
    if shown != [f"{request.method} {request.path}" for request in through]:
        findings.wrong.append(f"other requests: {shown} directly, {[f'{r.method} {r.path}' for r in through]} through")
        return findings
    for one, other in zip(direct, through):
        compare_headers(one, other, findings)
        compare_bodies(one, other, findings)
    findings.history_bytes_changed = history_changed(direct, through)
    if findings.history_bytes_changed:
        findings.wrong.append(f"{findings.history_bytes_changed} bytes of history changed between turns")
    check_pruned(direct, through, pruned, whole, findings)
    return findings


def compare_headers(one, other, findings):
    def of_substance(request):
        return {
            (name.lower(), normal(value)) for name, value in request.headers if name.lower() not in OF_THE_CONNECTION
        }

    for name, value in sorted(of_substance(one) ^ of_substance(other)):
        side = "only directly" if (name, value) in of_substance(one) else "only through Lopper"
        findings.elsewhere(f"request {one.number}: header {name}: {value[:80]} {side}")


def compare_bodies(one, other, findings):
    here, there = (STRING.split(normal(request.body.decode())) for request in (one, other))
    if len(here) != len(there):
        findings.elsewhere(f"request {one.number}: the body has another structure")
        return
    for left, right in zip(here, there):
        if left == right:
            continue
        gone = left_out_of_literal(left, right)
        if gone is None:
            findings.elsewhere(f"request {one.number}: {first_difference(left, right)}")
        else:
            findings.lines_left_out += gone


def left_out_of_literal(left, right):
    return left_out(json.loads(left), json.loads(right)) if left[:1] == right[:1] == '"' else None


def left_out(before, after):
    """How many lines markers stand for in `after`, where all else is as in `before`; None where it is not."""
    nested = [json_in(text) for text in (before, after)]
    if None not in nested:
        here, there = (STRING.split(text.strip()) for text in (before, after))
        if len(here) != len(there):
            return None
        counts = [
            0 if left == right else left_out_of_literal(left, right) for left, right in zip(here, there)
        ]
        return None if None in counts else sum(counts)
    lines, at, gone = before.split("\n"), 0, 0
    for line in after.split("\n"):
        marker = MARKER.match(line)
        if marker and (at >= len(lines) or lines[at] != line):
            count = int(marker[2] or marker[1]) - int(marker[1]) + 1
            at, gone = at + count, gone + count
        elif at < len(lines) and lines[at] == line:
            at += 1
        else:
            return None
    return gone if at == len(lines) and gone else None


def json_in(text):
    """The object or array that a text is, or None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def first_difference(left, right):
    at = next((at for at, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return f"{left[max(at - 30, 0) : at + 50]!r} arrived as {right[max(at - 30, 0) : at + 50]!r}"


def history_changed(direct, through):
    """Bytes of earlier messages that the client sent again as they were, and that arrived as others than before."""
    changed, last = 0, {}
    for one, other in zip(direct, through):
        if not isinstance(one.json, dict):
            continue
        kind = (one.path, one.json.get("model"), json.dumps(one.json.get("tools")))
        sent, arrived = ([normal(json.dumps(item)) for item in items(request.json)] for request in (one, other))
        if kind in last:
            for before, now, then_arrived, now_arrived in zip(last[kind][0], sent, last[kind][1], arrived):
                if before != now:
                    break
                if then_arrived != now_arrived:
                    changed += len(then_arrived)
        last[kind] = (sent, arrived)
    return changed


def results(requests):
    """The text of every tool result by the call's id, as it first arrived."""
    found = {}
    for request in requests:
        for item in items(request.json) if isinstance(request.json, dict) else []:
            if result_of(item):
                content = item.get("content", item.get("output"))
                found.setdefault(result_of(item), json.dumps(content, ensure_ascii=False))
    return found


def check_pruned(direct, through, pruned, whole, findings):
    sent, arrived = results(direct), results(through)
    bodies = "\n".join(request.body.decode() for request in through)
    paths = {marker[3] for line in re.split(r"\n|\\n", bodies) if (marker := MARKER.match(line))}
    for name in sorted(pruned):
        if name in sent:
            done = "[lopper: line" in arrived[name]
        else:
            done = any(path and path.endswith(name) for path in paths)
        if not done:
            findings.wrong.append(f"not compressed: {name}")
    for name in sorted(whole):
        if name not in sent:
            findings.wrong.append(f"the client sent no result of {name}")
        elif normal(sent[name]) != normal(arrived[name]):
            findings.wrong.append(f"compressed, though it has to stay whole: {name}")
