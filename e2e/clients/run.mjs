// Runs every client against the server, over stdio and over HTTP, and judges what
// the server wrote.
// Usage: node run.mjs SERVER GO_CLIENTS INSPECTOR2 TMP [NAME]: the built server, the
// built program of gosdk, the Inspector 2.x program, a folder for everything, and
// a regular expression that picks clients.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judgeHTTP, record } from './http.mjs';
import { judge, read, Tools } from './record.mjs';

const [server, goClients, inspector2, tmp, picked = ''] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const node = process.execPath;
const inspector0 = join(here, 'node_modules/@modelcontextprotocol/inspector-cli/build/cli.js');

// How each driver is started, with the output folder and the server after it.
const overStdio = [
  { name: 'Inspector 0.15', start: [node, join(here, 'inspector.mjs'), '0.15', 'legacy', inspector0], revision: '2025-06-18', signals: true },
  { name: 'Inspector 2, legacy', start: [node, join(here, 'inspector.mjs'), '2', 'legacy', inspector2], revision: '2025-11-25' },
  { name: 'Inspector 2, modern', start: [node, join(here, 'inspector.mjs'), '2', 'modern', inspector2], revision: '2026-07-28' },
  { name: 'TypeScript SDK 1', start: [node, join(here, 'sdk1.mjs')], revision: '2025-11-25' },
  { name: 'TypeScript SDK 2, legacy', start: [node, join(here, 'sdk2.mjs'), 'legacy'], revision: '2025-11-25' },
  { name: 'TypeScript SDK 2, auto', start: [node, join(here, 'sdk2.mjs'), 'auto'], revision: '2026-07-28' },
  { name: 'TypeScript SDK 2, modern', start: [node, join(here, 'sdk2.mjs'), '2026-07-28'], revision: '2026-07-28' },
  ...['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'].flatMap((revision) => [
    { name: `Go SDK, ${revision}`, start: [goClients, 'official', revision], revision },
    { name: `mcp-go, ${revision}`, start: [goClients, 'mcpgo', revision], revision },
  ]),
];
const overHTTP = overStdio.map((client) => ({ ...client, name: `${client.name}, HTTP`, http: true, tokens: [] }));
// And once with a token for each user.
const withTokens = /Inspector 2, modern|SDK (1|2, modern)|(Go SDK|mcp-go), 202(5-11|6)/;
const clients = [
  ...overStdio, ...overHTTP,
  ...overHTTP.filter(({ name }) => withTokens.test(name)).map((client) => ({ ...client, name: `${client.name} with tokens`, tokens: ['the token of alice', 'the token of bob'] })),
].filter(({ name }) => new RegExp(picked).test(name));

let passed = 0;
let failed = 0;
const tell = (kind, client, name, why) => {
  if (kind === 'ok') passed++;
  if (kind === 'FAIL') failed++;
  console.log(`${kind.padEnd(5)} ${client.name}: ${name}${why ? `: ${why}` : ''}`);
};

// drive runs one client's driver, and gives its lines and errors.
function drive(client, i) {
  const folder = (name) => {
    const path = join(tmp, String(i), name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const [records, state, output, home] = ['records', 'state', 'output', 'home'].map(folder);
  const env = { PATH: process.env.PATH, HOME: home };
  // A video lasts long enough for a busy machine to wait for it before it is done.
  const flags = ['--sandbox', '--sandbox-duration=3s', `--state-dir=${state}`, `--output-dir=${output}`];
  if (client.http) return overProxy(client, output, flags, env);
  client.records = records;
  return run([...client.start, output, node, join(here, 'tee.mjs'), records, server, ...flags, '--files-from-roots', '--log-level=error'], env);
}

// overProxy runs a driver against a server over HTTP, through a proxy.
async function overProxy(client, output, flags, env) {
  let origin;
  const proxy = await record(() => origin);
  const users = join(output, '..', 'tokens');
  writeFileSync(users, ['alice', 'bob'].map((name) => `${name} sha256:${createHash('sha256').update(`the token of ${name}`).digest('hex')}\n`).join(''), { mode: 0o600 });
  const child = spawn(server, ['http', '--address=127.0.0.1:0', `--public-url=${proxy.origin}/mcp`, '--metrics-address=none', '--max-calls-per-minute=0',
    ...client.tokens.length > 0 ? [`--tokens-file=${users}`] : [], ...flags], { stdio: ['ignore', 'ignore', 'pipe'], env });
  const exit = once(child, 'exit');
  const log = [];
  await new Promise((resolve) => {
    createInterface(child.stderr).on('line', (line) => {
      log.push(line);
      const at = /serving MCP.* address=(\S+)/.exec(line);
      if (at) resolve(origin = `http://${at[1]}`);
    });
    exit.then(resolve);
  });
  const result = await run([...client.start, output, `${proxy.origin}/mcp`, ...client.tokens], env);
  child.kill('SIGTERM');
  const [code] = await exit;
  if (code !== 0) result.errors += `the server's exit is ${code}:\n${log.slice(-20).join('\n')}`;
  proxy.close();
  client.entries = proxy.entries;
  return result;
}

// run runs a driver to its end.
function run(command, env) {
  return new Promise((resolve) => {
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env });
    let out = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    const timer = setTimeout(() => child.kill(), 600_000);
    child.on('error', (error) => resolve({ out, errors: String(error), code: 127 }));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ out, errors, code });
    });
  });
}

// Most of the time is spent waiting for videos: six at a time.
const results = [];
let next = 0;
await Promise.all([1, 2, 3, 4, 5, 6].map(async () => {
  while (next < clients.length) {
    const i = next++;
    results[i] = await drive(clients[i], i);
  }
}));

const toolsOf = { stdio: new Tools(), http: new Tools() }; // they differ in their words
const later = [];
let lines = 0;
for (const [i, client] of clients.entries()) {
  const { out, errors, code } = results[i];
  const told = out.split('\n').filter(Boolean).map((line) => line.split('\t'));
  for (const [kind, ...rest] of told) tell(['ok', 'FAIL', 'note'].includes(kind) ? kind : 'FAIL', client, ...rest);
  if (told.length === 0 || (code !== 0 && !told.some(([kind]) => kind === 'FAIL'))) tell('FAIL', client, 'the driver ends well', `exit ${code}`);
  if (errors.trim()) tell('note', client, 'stderr', errors.trim().slice(0, 2000).replace(/\n/g, '\n      '));

  client.wrong = [];
  const spoken = new Set();
  client.lines = 0;
  for (const entries of client.http ? [client.entries] : read(client.records)) {
    const checks = [];
    const judged = client.http ? judgeHTTP(entries, toolsOf.http, checks) : judge(entries, toolsOf.stdio, checks, client.signals);
    client.wrong.push(...judged.wrong);
    client.lines += judged.lines;
    judged.spoken.forEach((revision) => spoken.add(revision));
    later.push(() => checks.forEach((c) => client.wrong.push(...c())));
  }
  if (!spoken.has(client.revision)) client.wrong.push(`${client.revision} is not spoken, but ${[...spoken].join(', ')}`);
  lines += client.lines;
}
later.forEach((c) => c());
for (const client of clients) {
  if (client.wrong.length === 0) tell('ok', client, `all ${client.lines} lines of the server hold to the protocol and to its own schemas`);
  else for (const wrong of client.wrong) tell('FAIL', client, 'a line of the server', wrong.replace(/\n/g, '\n      '));
}

console.log(`${passed} passed, ${failed} failed; ${lines} lines of the server validated`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
