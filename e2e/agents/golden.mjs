// What reached the model, told by what the server sent: so the goldens hold no
// text of an application, and change only when an application does.
import { readFileSync, readdirSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { own } from './model.mjs';

// readWire returns the messages that tee.mjs recorded: { from, message }.
export function readWire(folder) {
  return readdirSync(folder).sort().flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)))
    .filter(([mark]) => mark === '<' || mark === '>').map(([mark, line]) => ({ from: mark, message: JSON.parse(line) }));
}

// answersTo returns the requests of a method with the server's answers.
function answersTo(wire, method) {
  return wire.filter((w) => w.from === '>' && w.message.method === method).map(({ message }) => ({
    params: message.params,
    ...wire.find((w) => w.from === '<' && w.message.id === message.id && !w.message.method)?.message,
  }));
}

// part says how much of text is in there: whole, its first characters, or none.
function part(text, there) {
  const flat = (s) => s.replace(/\s+/g, ' ').trim();
  const [want, got] = [flat(text), flat(there)];
  if (got.includes(want)) return 'whole';
  let n = want.length;
  while (n > 40 && !got.includes(want.slice(0, n))) n--;
  return n > 40 ? `the first ${Math.ceil(n / 10) * 10} characters or so` : 'not';
}

// differences says how two schemas differ, in paths.
function differences(want, got, path = '') {
  if (isDeepStrictEqual(want, got)) return [];
  const inner = (x) => x && typeof x === 'object' && !Array.isArray(x);
  if (!inner(want) || !inner(got)) return [want === undefined ? `+ ${path}` : got === undefined ? `- ${path}` : `${path} changed`];
  return [...new Set([...Object.keys(want), ...Object.keys(got)])].sort().flatMap((key) => differences(want[key], got[key], path ? `${path}.${key}` : key));
}

// form says in which form the model saw a result of a call.
function form({ text, args }, result) {
  const words = result.content.map((c) => c.text ?? '').join('\n');
  if (text === words) return 'our text';
  try {
    if (result.structuredContent && isDeepStrictEqual(JSON.parse(text), result.structuredContent)) return 'structuredContent';
  } catch {} // it is not JSON
  const escaped = JSON.stringify(words).slice(1, -1);
  const structured = result.structuredContent && JSON.stringify(result.structuredContent);
  let seen = text.replaceAll(JSON.stringify(args), '{arguments}');
  if (structured) seen = seen.replaceAll(structured, '{structuredContent}');
  seen = seen.replaceAll(words, '{our text}').replaceAll(escaped, '{our text, as a JSON string}');
  return seen.replace(/[\d.]+ seconds/g, 'N seconds').replaceAll('\n', '\\n');
}

// golden returns the text of an application's golden.
export function golden(title, version, runs) {
  const lines = [`${title} ${version}. Written by e2e/agents.sh --update.`, ''];
  const main = runs['the whole job'];
  if (!main) throw new Error('the whole job has failed');
  const [{ params, result }] = answersTo(main.wire, 'initialize');
  lines.push(`initialize: ${params.protocolVersion}, declares ${Object.entries(params.capabilities).map(([k, v]) => k + (k === 'roots' || !Object.keys(v).length ? '' : ` (${Object.keys(v)})`)).sort().join(', ') || 'nothing'}`);
  const asked = new Set(main.wire.filter((w) => w.from === '>' && w.message.method).map((w) => w.message.method));
  lines.push(`sends: ${[...asked].sort().join(', ')}`, '');

  const first = main.record.seen[0];
  for (const [where, text] of [['the system prompt', first.system], ['the user\'s messages', first.first]]) lines.push(`instructions in ${where}: ${part(result.instructions, text)}`);
  lines.push('');

  const [listed] = answersTo(main.wire, 'tools/list');
  const last = main.record.seen.at(-1);
  for (const tool of listed.result.tools) {
    const given = [first, last].map((seen) => seen.tools.find((t) => own(t.name) === tool.name));
    if (given.every((t) => !t)) {
      lines.push(`${tool.name}: not among the tools`);
      continue;
    }
    const t = given[0] ?? given[1];
    lines.push(`${tool.name} is ${t.name}${given[0] ? '' : ', after a search'}: description ${part(tool.description, t.description ?? '')}, schema ${t.schema ? differences(tool.inputSchema, t.schema).join(', ') || 'the same' : 'absent'}`);
    if (!given[0]) lines.push(`  before: ${part(tool.description, first.system + first.first + first.tools.map((x) => x.description).join(' '))}`);
  }
  lines.push('');

  for (const [name, run] of Object.entries(runs)) {
    if (!run?.wire?.length || run.slow) continue;
    const answers = answersTo(run.wire, 'tools/call');
    let n = 0;
    const told = run.results.map((r) => {
      const asked = answers[n]?.params;
      const answer = asked?.name === r.tool && isDeepStrictEqual(asked.arguments, r.args) ? answers[n++] : undefined;
      const seen = answer ? form(r, answer.result) : `refused by the application: ${r.text.replace(/\s+/g, ' ').slice(0, 200)}`;
      return `  ${r.tool}${answer?.result.isError ? ', an error' : ''}: ${seen}${r.error ? ' (marked as an error)' : ''}`;
    });
    // The number of waits is not the application's.
    lines.push(`${name}:`, ...told.filter((line, i) => line !== told[i - 1]));
    for (const { params, error } of answersTo(run.wire, 'prompts/get')) {
      lines.push(`  prompts/get ${params.name} ${JSON.stringify(params.arguments ?? {})}: ${error ? error.message : 'answered'}`);
    }
  }
  return lines.join('\n') + '\n';
}
