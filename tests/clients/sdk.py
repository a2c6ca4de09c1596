"""What a program with the openai package for Python does: chat, Responses and completions, streamed, with two tools.

Argument: the repository. Where the API is, OPENAI_BASE_URL says alone. Prints what it hears. The other SDK's driver
(sdk.mjs) does the same.
"""

import json
import sys
from pathlib import Path

from openai import OpenAI
from play import EDITED, NEW, OLD, THEN, WHY

repo = Path(sys.argv[1])
client = OpenAI(max_retries=0)

MODEL = "gpt-4o"
SYSTEM = "You are a careful programmer."
source = (repo / EDITED).read_text()
asked = f"{WHY}\n\n```python {EDITED}\n{source}```\n"
PARAMETERS = {"read_file": ["path"], "edit_file": ["path", "old_string", "new_string"]}


def schema(names):
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}


def use(name, arguments):
    """Runs a tool of this program."""
    arguments = json.loads(arguments)
    path = repo / arguments["path"]
    if name == "read_file":
        return path.read_text()
    text = path.read_text()
    if text.count(arguments["old_string"]) != 1:
        return "error: old_string is not there once"
    path.write_text(text.replace(arguments["old_string"], arguments["new_string"]))
    return "edited"


def chat(questions):
    functions = [{"name": name, "parameters": schema(names)} for name, names in PARAMETERS.items()]
    tools = [{"type": "function", "function": function} for function in functions]
    messages = [{"role": "system", "content": SYSTEM}]
    for question in questions:
        messages.append({"role": "user", "content": question})
        while True:
            options = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0.2}
            text, calls, chunks, end, usage = "", {}, 0, None, None
            for chunk in client.chat.completions.create(model=MODEL, messages=messages, tools=tools, **options):
                chunks += 1
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    end = choice.finish_reason or end
                    text += choice.delta.content or ""
                    for part in choice.delta.tool_calls or []:
                        started = {"name": part.function.name, "arguments": ""}
                        call = calls.setdefault(part.index, {"id": part.id, "type": "function", "function": started})
                        call["function"]["arguments"] += part.function.arguments or ""
            print(f"chat: {chunks} chunks, {end}, {usage.total_tokens} tokens\n{text}")
            answer = {"role": "assistant", "content": text or None}
            if calls:
                answer["tool_calls"] = list(calls.values())
            messages.append(answer)
            for call in calls.values():
                content = use(**call["function"])
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
            if not calls:
                break


def responses(questions):
    tools = [{"type": "function", "name": name, "parameters": schema(names)} for name, names in PARAMETERS.items()]
    said = []
    for question in questions:
        said.append({"role": "user", "content": [{"type": "input_text", "text": question}]})
        while True:
            text, events, final = "", 0, None
            options = {"instructions": SYSTEM, "stream": True, "store": False}
            for event in client.responses.create(model=MODEL, input=said, tools=tools, **options):
                events += 1
                if event.type == "response.output_text.delta":
                    text += event.delta
                if event.type == "response.completed":
                    final = event.response
            print(f"responses: {events} events, {final.status}, {final.usage.total_tokens} tokens\n{text}")
            calls = [item for item in final.output if item.type == "function_call"]
            said += [item.model_dump(exclude_none=True, mode="json") for item in final.output]
            for call in calls:
                output = use(call.name, call.arguments)
                said.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
            if not calls:
                break


print("models:", [model.id for model in client.models.list()])
whole = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": asked}])
print("whole:", whole.choices[0].message.content)
head, tail = source.split(OLD)
between = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=head, suffix=tail, stream=True)
print("completed:", "".join(chunk.choices[0].text for chunk in between))
responses([asked, THEN])
assert NEW in (repo / EDITED).read_text(), "the first edit"
(repo / EDITED).write_text(source)
chat([asked, THEN])
