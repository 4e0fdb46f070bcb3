// Runs every client against the server and judges what the server wrote.
// Usage: node run.mjs SERVER GO_CLIENTS INSPECTOR2 TMP: the built server, the
// built program of gosdk, the Inspector 2.x program, a folder for everything.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { judge, read, Tools } from './record.mjs';

const [server, goClients, inspector2, tmp] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const node = process.execPath;
const inspector0 = join(here, 'node_modules/@modelcontextprotocol/inspector-cli/build/cli.js');

// How each driver is started, with the output folder after it.
const clients = [
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
  const [records, state, output] = ['records', 'state', 'output'].map(folder);
  client.records = records;
  const command = [...client.start, output, node, join(here, 'tee.mjs'), records,
    server, '--sandbox', '--sandbox-duration=1s', `--state-dir=${state}`, `--output-dir=${output}`, '--files-from-roots', '--log-level=error'];
  return new Promise((resolve) => {
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: folder('home') } });
    let out = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    const timer = setTimeout(() => child.kill(), 120_000);
    child.on('error', (error) => resolve({ out, errors: String(error), code: 127 }));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ out, errors, code });
    });
  });
}

// Most of the time is spent waiting for videos: three at a time.
const results = [];
let next = 0;
await Promise.all([1, 2, 3].map(async () => {
  while (next < clients.length) {
    const i = next++;
    results[i] = await drive(clients[i], i);
  }
}));

const tools = new Tools();
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
  for (const entries of read(client.records)) {
    const checks = [];
    const judged = judge(entries, tools, checks, client.signals);
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
