// What a program with the openai package for Node does: chat, Responses and completions, streamed, with two tools.
//
// Arguments: the folder that the package is installed in, the repository, what to ask (JSON, from play.py). Where the
// API is, OPENAI_BASE_URL says alone. Prints what it hears. The other SDK's driver (sdk.py) does the same.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [, , installed, repo, play] = process.argv;
const { EDITED, OLD, NEW, WHY, THEN } = JSON.parse(play);
const { OpenAI } = createRequire(join(installed, "package.json"))("openai");
const client = new OpenAI({ maxRetries: 0 });

const MODEL = "gpt-4o";
const SYSTEM = "You are a careful programmer.";
const source = readFileSync(join(repo, EDITED), "utf8");
const asked = `${WHY}\n\n\`\`\`python ${EDITED}\n${source}\`\`\`\n`;
const PARAMETERS = { read_file: ["path"], edit_file: ["path", "old_string", "new_string"] };

function schema(names) {
  const properties = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
  return { type: "object", properties, required: names };
}

// Runs a tool of this program.
function use(name, written) {
  const { path, old_string: old, new_string: now } = JSON.parse(written);
  const text = readFileSync(join(repo, path), "utf8");
  if (name === "read_file") return text;
  if (text.split(old).length !== 2) return "error: old_string is not there once";
  writeFileSync(join(repo, path), text.replace(old, () => now));
  return "edited";
}

async function chat(questions) {
  const functions = Object.entries(PARAMETERS).map(([name, names]) => ({ name, parameters: schema(names) }));
  const tools = functions.map((described) => ({ type: "function", function: described }));
  const messages = [{ role: "system", content: SYSTEM }];
  for (const question of questions) {
    messages.push({ role: "user", content: question });
    for (;;) {
      const options = { stream: true, stream_options: { include_usage: true }, temperature: 0.2 };
      let text = "", chunks = 0, end = null, usage = null;
      const calls = [];
      for await (const chunk of await client.chat.completions.create({ model: MODEL, messages, tools, ...options })) {
        chunks += 1;
        usage = chunk.usage ?? usage;
        for (const choice of chunk.choices) {
          end = choice.finish_reason ?? end;
          text += choice.delta.content ?? "";
          for (const part of choice.delta.tool_calls ?? []) {
            const started = { name: part.function.name, arguments: "" };
            calls[part.index] ??= { id: part.id, type: "function", function: started };
            calls[part.index].function.arguments += part.function.arguments ?? "";
          }
        }
      }
      console.log(`chat: ${chunks} chunks, ${end}, ${usage.total_tokens} tokens\n${text}`);
      messages.push({ role: "assistant", content: text || null, ...(calls.length ? { tool_calls: calls } : {}) });
      for (const call of calls) {
        const content = use(call.function.name, call.function.arguments);
        messages.push({ role: "tool", tool_call_id: call.id, content });
      }
      if (!calls.length) break;
    }
  }
}

async function responses(questions) {
  const functions = Object.entries(PARAMETERS).map(([name, names]) => ({ name, parameters: schema(names) }));
  const tools = functions.map((described) => ({ type: "function", strict: false, ...described }));
  const input = [];
  for (const question of questions) {
    input.push({ role: "user", content: [{ type: "input_text", text: question }] });
    for (;;) {
      let text = "", events = 0, final = null;
      const options = { instructions: SYSTEM, stream: true, store: false };
      for await (const event of await client.responses.create({ model: MODEL, input, tools, ...options })) {
        events += 1;
        if (event.type === "response.output_text.delta") text += event.delta;
        if (event.type === "response.completed") final = event.response;
      }
      console.log(`responses: ${events} events, ${final.status}, ${final.usage.total_tokens} tokens\n${text}`);
      const calls = final.output.filter((item) => item.type === "function_call");
      input.push(...final.output);
      for (const call of calls) {
        input.push({ type: "function_call_output", call_id: call.call_id, output: use(call.name, call.arguments) });
      }
      if (!calls.length) break;
    }
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
console.log("models:", models);
const whole = await client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content: asked }] });
console.log("whole:", whole.choices[0].message.content);
const [head, tail] = source.split(OLD);
let line = "";
const completion = { model: "gpt-3.5-turbo-instruct", prompt: head, suffix: tail, stream: true };
for await (const chunk of await client.completions.create(completion)) line += chunk.choices[0].text;
console.log("completed:", line);
await responses([asked, THEN]);
if (!readFileSync(join(repo, EDITED), "utf8").includes(NEW)) throw new Error("the first edit");
writeFileSync(join(repo, EDITED), source);
await chat([asked, THEN]);
