"""What the scripted upstream says: for each question, the tool calls of one assistant and then its words.

A request is answered from what it holds alone (which question came last, how many tool results since), so two runs of a
client get the same answers, whatever else they ask at the same time.
"""

import json
import re
from dataclasses import dataclass

from upstream import Call, Text

EDITED = "warehouse/inventory.py"
OTHER = "src/pipeline/block.rs"
THIRD = "src/syntax/splitter.rs"

WHY = (
    "Why can ship fail although the pieces were reserved before? "
    "Read warehouse/inventory.py, then log every shipment."
)
THEN = "Which shelf is emptied first, and who is told about it afterwards?"

OLD = "        self.release(sku, pieces)\n        missing = pieces\n"
ADDED = '        log.debug("shipping %d of %s", pieces, sku)\n'
NEW = OLD.replace("        missing", ADDED + "        missing")

LOOKING = "I look at the warehouse first."
DONE = (
    "The shelves held fewer pieces than the books said, so `ship` raised an error – "
    "it now logs each shipment, émptied shelf or not. ✓"
)
ANSWER = "The shelf with the most pieces of it; every listener that was added with `on_movement` is told."
SIDE = "Log each shipment of the warehouse"


@dataclass(frozen=True)
class Play:
    """`steps`: for each question, what is said after 0, 1, 2 … tool results."""

    steps: dict

    def __call__(self, request):
        if "/completions" in request.path and "messages" not in request.json:
            return Text(ADDED.strip())
        said = items(request.json)
        asked = [(at, question) for at, item in enumerate(said) if (question := self.asked(item))]
        if not asked or is_aside(said):
            return Text(SIDE)
        at, question = asked[-1]
        results = sum(1 for item in said[at:] if result_of(item))
        answers = self.steps[question][results]
        if edits(answers) and not TO_EDIT.search(request.body.decode()):
            raise LookupError("the lines to edit did not arrive in one piece; a model could not have edited them")
        return answers

    def asked(self, item):
        if item.get("role") != "user":
            return None
        text = json.dumps(item["content"], ensure_ascii=False)
        return next((question for question in self.steps if question in text), None)


def items(body):
    """The messages of a chat body, the input items of a Responses body."""
    said = body.get("messages", body.get("input", []))
    return said if isinstance(said, list) else [{"role": "user", "content": said}]


def result_of(item):
    """The id of the call whose result this is."""
    if item.get("role") == "tool":
        return item["tool_call_id"]
    return item["call_id"] if item.get("type", "").endswith("_call_output") else None


# The lines to edit, as they stand in a body: numbered or not.
TO_EDIT = re.compile(r"\\n".join(r"(?:\d+: )?" + re.escape(json.dumps(line)[1:-1]) for line in OLD.splitlines()))


def edits(answers):
    """Whether the file is edited by this."""
    answers = answers if isinstance(answers, list) else [answers]
    return any(NEW in answer.text if isinstance(answer, Text) else answer.id == "call_edit" for answer in answers)


def is_aside(said):
    """Whether the client asks for a title or a commit message of the conversation."""
    first = json.dumps(said[0].get("content"))
    return said[0].get("role") == "system" and ("title generator" in first or "commit message" in first)


# --- one play for each way to call tools


def sdk():
    """The drivers' own tools, whose results are bare text."""
    return Play(
        {
            WHY: [
                [Text(LOOKING), Call("read_file", {"path": OTHER}, "call_other")],
                Call("edit_file", {"path": EDITED, "old_string": OLD, "new_string": NEW}, "call_edit"),
                Text(DONE),
            ],
            THEN: [Call("read_file", {"path": EDITED}, "call_again"), Text(ANSWER)],
        }
    )


def aider():
    block = f"{EDITED}\n```python\n<<<<<<< SEARCH\n{OLD}=======\n{NEW}>>>>>>> REPLACE\n```\n"
    return Play({WHY: [Text(f"{LOOKING}\n\n{block}\n{DONE}\n")], THEN: [Text(ANSWER)]})


def opencode(repo):
    def read(path, id, **part):
        return Call("read", {"filePath": f"{repo}/{path}", **part}, id)

    def shell(command, id):
        return Call("bash", {"command": command, "description": "Looks closer"}, id)

    return Play(
        {
            WHY: [
                [Text(LOOKING), read(EDITED, "call_read")],
                read(OTHER, "call_other"),
                shell("grep -rn reserve warehouse", "call_search"),
                read(EDITED, "call_range", offset=190, limit=40),
                Call("edit", {"filePath": f"{repo}/{EDITED}", "oldString": OLD, "newString": NEW}, "call_edit"),
                shell("git diff", "call_diff"),
                Text(DONE),
            ],
            THEN: [
                read(EDITED, "call_again"),
                shell(f"cat {THIRD}", "call_cat"),
                Text(ANSWER),
            ],
        }
    )


PATCH = "*** Begin Patch\n*** Update File: {path}\n@@\n {old}+{added} {rest}*** End Patch\n".format(
    path=EDITED, old=OLD.splitlines(True)[0], added=ADDED, rest=OLD.splitlines(True)[1]
)
COMMANDS = {
    "call_read": f"cat {EDITED}",
    "call_other": f"cat {OTHER}",
    "call_search": "rg -n reserve warehouse",
    "call_range": f"sed -n '190,230p' {EDITED}",
    "call_diff": "git diff",
    "call_again": f"cat {EDITED}",
    "call_numbered": f"nl -ba {THIRD}",
}


def codex(code_mode):
    """`code_mode`: the newer models have one tool, `exec`, that runs a script which calls the others."""

    def shell(id, shown=".output"):
        if code_mode:
            script = f"const r = await tools.exec_command({json.dumps({'cmd': COMMANDS[id]})});\ntext(r{shown});\n"
            return Call("exec", script, id, "functions")
        return Call("exec_command", {"cmd": COMMANDS[id]}, id)

    patch = Call("apply_patch", PATCH, "call_edit")
    if code_mode:
        patch = Call("exec", f"text(await tools.apply_patch({json.dumps(PATCH)}));\n", "call_edit", "functions")
    why = [shell(id) for id in ("call_read", "call_other", "call_search", "call_range")]
    why[0] = [Text(LOOKING), why[0]]
    return Play(
        {
            WHY: [*why, patch, shell("call_diff"), Text(DONE)],
            THEN: [shell("call_again"), shell("call_numbered", shown=""), Text(ANSWER)],
        }
    )
