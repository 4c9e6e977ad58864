// Runs an SDK for Node through all scenarios of scenarios.py against all providers of other dialects, each plain and streamed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const { models, tools, form, scenarios } = JSON.parse(readFileSync(process.env.WEIR_SCENARIOS));
export const URL = process.env.WEIR_ACROSS_URL;
export const KEY = process.env.WEIR_KEY;

/** The version of an installed package. */
export function version(name) {
  return JSON.parse(readFileSync(`${import.meta.dirname}/node_modules/${name}/package.json`)).version;
}

/** An error as an SDK tells it. */
export class Told extends Error {
  constructor(status, code, cause) {
    super(`${status} ${code}: ${cause?.message}`);
    Object.assign(this, { status, code });
  }
}

// The status and code of the error that a client is told; a stream that has begun has no status any more.
function expected(scenario, stream) {
  if (scenario.tells) return scenario.tells;
  if (stream) return [undefined, "upstream-broken"];
  return [502, scenario.breaks === "error" ? "upstream-error" : "upstream-broken"];
}

// Ids of calls are the gateway's or the provider's.
function plain(part, said) {
  return part === "calls" ? said.map((call) => [call.name, call.arguments]) : said;
}

async function runOne(client, name, dialect, stream) {
  const scenario = scenarios[name];
  // A model of its own for each call: one that fails is left alone for a while.
  const model = `${models[dialect]}@${client.id}-${stream ? "streamed" : "plain"}@${name}`;
  const answers = scenario.answer && !scenario.breaks;
  let got;
  try {
    got = await client.ask(model, scenario.ask, stream);
  } catch (error) {
    if (!(error instanceof Told) || answers) throw error;
    const [status, code] = expected(scenario, stream);
    assert.equal(error.code, code, error.message);
    if (status) assert.equal(error.status, status);
    return;
  }
  assert.ok(answers, "no error was told");
  for (const part of ["text", "reasoning", "finish", "calls", "usage"]) {
    assert.deepEqual(plain(part, got[part]), plain(part, scenario.answer[part]), part);
  }
}

/** Runs all, prints what failed and the count; a client has `name`, `id`, `speaks`, `cannot` and `ask(model, ask, stream)`. */
export async function run(client) {
  console.log(client.name);
  let [passed, failed] = [0, 0];
  for (const dialect of Object.keys(models).filter((one) => !client.speaks.includes(one))) {
    const names = Object.keys(scenarios).filter((name) => !(name in client.cannot) && !scenarios[name].alone);
    for (const name of names) {
      let isRight = true;
      for (const stream of [false, true]) {
        try {
          await runOne(client, name, dialect, stream);
        } catch (error) {
          isRight = false;
          const way = stream ? "streamed" : "plain";
          console.log(`  FAIL  ${name} from ${dialect}, ${way}\n        ${String(error.stack).replaceAll("\n", "\n        ")}`);
        }
      }
      if (isRight) passed += 1;
      else failed += 1;
    }
    console.log(`  ${names.length} scenarios from ${dialect}, each plain and streamed`);
  }
  for (const [name, why] of Object.entries(client.cannot)) console.log(`  left out: ${name}: ${why}`);
  console.log(`${passed} passed, ${failed} failed`);
  if (failed) process.exitCode = 1;
}
