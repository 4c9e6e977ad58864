// Anthropic's SDK for Node.
import Anthropic from "@anthropic-ai/sdk";
import { KEY, Told, URL, form, run, tools, version } from "./table.mjs";

const FINISH = { end_turn: "stop", max_tokens: "length", tool_use: "calls", refusal: "filter" };
const client = new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 0, timeout: 20_000 });

function block(part) {
  if (typeof part === "string") return { type: "text", text: part };
  if (part.image) return { type: "image", source: { type: "base64", media_type: "image/png", data: part.image } };
  if (part.call) return { type: "tool_use", id: part.call.id, name: part.call.name, input: part.call.arguments };
  return { type: "tool_result", tool_use_id: part.result, content: part.text };
}

function fields(ask) {
  const out = { system: ask.system, temperature: ask.temperature, top_p: ask.top_p, stop_sequences: ask.stop };
  if (ask.tools) {
    const about = (name) => ({ description: tools[name].description, input_schema: tools[name].schema });
    out.tools = ask.tools.map((name) => ({ name, ...about(name) }));
  }
  if (ask.choice) out.tool_choice = ask.choice === "any" ? { type: "any" } : { type: "tool", name: ask.choice };
  if (ask.form) out.output_config = { format: { type: "json_schema", schema: form } };
  if (ask.thinks) out.thinking = { type: "enabled", budget_tokens: 1024 };
  return out;
}

async function ask(model, ask, stream) {
  const role = (turn) => (turn.role === "assistant" ? "assistant" : "user");
  const messages = ask.turns.map((turn) => ({ role: role(turn), content: turn.parts.map(block) }));
  // The API wants a limit; 32000 is what the scenario's silence is taken for.
  const said = { model, messages, max_tokens: ask.max_tokens ?? 32000, ...fields(ask) };
  try {
    if (!stream) return whole(await client.messages.create(said));
    const events = client.messages.stream(said);
    let text = "";
    events.on("text", (delta) => (text += delta));
    const got = whole(await events.finalMessage());
    if (text !== got.text) throw new Error(`streamed ${text}, not ${got.text}`);
    return got;
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) throw error;
    throw new Told(error.status, error.error?.error?.details?.error_code, error);
  }
}

function whole(reply) {
  const of = (type) => reply.content.filter((part) => part.type === type);
  const usage = reply.usage;
  const cached = usage.cache_read_input_tokens ?? 0;
  return {
    text: of("text").map((part) => part.text).join(""),
    reasoning: of("thinking").map((part) => part.thinking).join(""),
    calls: of("tool_use").map((part) => ({ name: part.name, arguments: part.input })),
    finish: FINISH[reply.stop_reason],
    usage: { input: usage.input_tokens + cached, output: usage.output_tokens, cached },
  };
}

const name = `@anthropic-ai/sdk ${version("@anthropic-ai/sdk")}`;
await run({ name, id: "node-anthropic", speaks: ["anthropic"], cannot: {}, ask });
