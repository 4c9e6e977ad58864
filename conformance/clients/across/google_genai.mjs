// Google's SDK for Node.
import { ApiError, GoogleGenAI } from "@google/genai";
import { KEY, Told, URL, form, run, tools, version } from "./table.mjs";

const FINISH = { STOP: "stop", MAX_TOKENS: "length", SAFETY: "filter" };
const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: URL, timeout: 20_000, retryOptions: { attempts: 1 } } });

function contents(ask) {
  const names = {};
  return ask.turns.map((turn) => ({
    role: turn.role === "assistant" ? "model" : "user",
    parts: turn.parts.map((part) => partOf(part, names)),
  }));
}

function partOf(part, names) {
  if (typeof part === "string") return { text: part };
  if (part.image) return { inlineData: { data: part.image, mimeType: "image/png" } };
  if (part.call) {
    names[part.call.id] = part.call.name;
    return { functionCall: { id: part.call.id, name: part.call.name, args: part.call.arguments } };
  }
  return { functionResponse: { id: part.result, name: names[part.result], response: { output: part.text } } };
}

function config(ask) {
  const out = { temperature: ask.temperature, topP: ask.top_p, stopSequences: ask.stop, maxOutputTokens: ask.max_tokens };
  if (ask.system) out.systemInstruction = ask.system;
  if (ask.tools) {
    const about = (name) => ({ description: tools[name].description, parametersJsonSchema: tools[name].schema });
    out.tools = [{ functionDeclarations: ask.tools.map((name) => ({ name, ...about(name) })) }];
  }
  if (ask.choice) {
    const only = ask.choice === "any" ? {} : { allowedFunctionNames: [ask.choice] };
    out.toolConfig = { functionCallingConfig: { mode: "ANY", ...only } };
  }
  if (ask.form) Object.assign(out, { responseMimeType: "application/json", responseJsonSchema: form });
  if (ask.thinks) out.thinkingConfig = { thinkingBudget: 1024, includeThoughts: true };
  return out;
}

async function ask(model, ask, stream) {
  const said = { model, contents: contents(ask), config: config(ask) };
  try {
    if (!stream) return answer([await client.models.generateContent(said)]);
    const chunks = [];
    for await (const chunk of await client.models.generateContentStream(said)) chunks.push(chunk);
    return answer(chunks);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // The message holds the body.
    const reason = /"reason":\s*"([a-z-]+)"/.exec(error.message.replaceAll("\\", ""));
    throw new Told(error.status, reason?.[1], error);
  }
}

function answer(chunks) {
  const candidates = chunks.flatMap((chunk) => chunk.candidates ?? []);
  const parts = candidates.flatMap((one) => one.content?.parts ?? []);
  const calls = parts.filter((part) => part.functionCall).map((part) => part.functionCall);
  const words = (isThought) => parts.filter((part) => part.text && !!part.thought === isThought).map((part) => part.text);
  const usage = chunks.at(-1).usageMetadata;
  return {
    text: words(false).join(""),
    reasoning: words(true).join(""),
    calls: calls.map((call) => ({ name: call.name, arguments: call.args })),
    finish: calls.length ? "calls" : FINISH[candidates.find((one) => one.finishReason).finishReason],
    usage: {
      input: usage.promptTokenCount,
      output: (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0),
      cached: usage.cachedContentTokenCount ?? 0,
    },
  };
}

const name = `@google/genai ${version("@google/genai")}`;
await run({ name, id: "node-genai", speaks: ["gemini"], cannot: {}, ask });
