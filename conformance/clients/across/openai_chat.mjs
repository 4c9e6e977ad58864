// OpenAI's SDK for Node, chat completions.
import OpenAI from "openai";
import { KEY, Told, URL, form, run, tools, version } from "./table.mjs";

const FINISH = { stop: "stop", length: "length", tool_calls: "calls", content_filter: "filter" };
const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0, timeout: 20_000 });

function messages(ask) {
  const out = ask.system ? [{ role: "system", content: ask.system }] : [];
  for (const { role, parts } of ask.turns) {
    if (role === "tool") {
      out.push(...parts.map((part) => ({ role, tool_call_id: part.result, content: part.text })));
    } else if (role === "assistant") {
      const calls = parts.filter((part) => part.call).map(({ call }) => callOf(call));
      const text = parts.filter((part) => typeof part === "string").join("");
      out.push({ role, content: text || null, ...(calls.length && { tool_calls: calls }) });
    } else {
      out.push({ role, content: parts.map(content) });
    }
  }
  return out;
}

function content(part) {
  if (typeof part === "string") return { type: "text", text: part };
  return { type: "image_url", image_url: { url: `data:image/png;base64,${part.image}` } };
}

function callOf(call) {
  return { id: call.id, type: "function", function: { name: call.name, arguments: JSON.stringify(call.arguments) } };
}

function fields(ask) {
  const { max_tokens, temperature, top_p, stop } = ask;
  const out = { max_tokens, temperature, top_p, stop };
  if (ask.tools) {
    const about = (name) => ({ name, description: tools[name].description, parameters: tools[name].schema });
    out.tools = ask.tools.map((name) => ({ type: "function", function: about(name) }));
  }
  if (ask.choice) out.tool_choice = ask.choice === "any" ? "required" : { type: "function", function: { name: ask.choice } };
  if (ask.form) {
    out.response_format = { type: "json_schema", json_schema: { name: "person", schema: form, strict: true } };
  }
  if (ask.thinks) out.reasoning_effort = "low";
  return out;
}

async function ask(model, ask, stream) {
  const said = { model, messages: messages(ask), ...fields(ask) };
  try {
    if (!stream) return whole(await client.chat.completions.create(said));
    const told = { ...said, stream: true, stream_options: { include_usage: true } };
    return await streamed(await client.chat.completions.create(told));
  } catch (error) {
    if (error instanceof OpenAI.APIError) throw new Told(error.status, error.code, error);
    throw error;
  }
}

function whole(reply) {
  const { message, finish_reason } = reply.choices[0];
  const calls = (message.tool_calls ?? []).map((call) => call.function);
  return answer(message.content, message.reasoning_content, calls, finish_reason, reply.usage);
}

async function streamed(chunks) {
  let [text, reasoning, finish, usage] = ["", "", null, null];
  const calls = [];
  for await (const chunk of chunks) {
    usage = chunk.usage ?? usage;
    for (const { delta, finish_reason } of chunk.choices) {
      text += delta.content ?? "";
      reasoning += delta.reasoning_content ?? "";
      finish = finish_reason ?? finish;
      for (const call of delta.tool_calls ?? []) {
        const made = (calls[call.index] ??= { name: "", arguments: "" });
        made.name += call.function.name ?? "";
        made.arguments += call.function.arguments ?? "";
      }
    }
  }
  return answer(text, reasoning, calls, finish, usage);
}

function answer(text, reasoning, calls, finish, usage) {
  return {
    text: text ?? "",
    reasoning: reasoning ?? "",
    calls: calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) })),
    finish: FINISH[finish],
    usage: {
      input: usage.prompt_tokens,
      output: usage.completion_tokens,
      cached: usage.prompt_tokens_details.cached_tokens,
    },
  };
}

const name = `openai for Node ${version("openai")}, chat completions`;
await run({ name, id: "node-openai-chat", speaks: ["openai"], cannot: {}, ask });
