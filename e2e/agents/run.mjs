// Drives applications with a model that plays scripts, one scenario after the
// other, each in an empty home. Usage:
//
//   node run.mjs [--update] [--slow] [--interrupts=N] [--only=REGEXP] SERVER TMP CLIENT...
//
// --update writes the goldens anew, --slow plays the scenarios of a minute, too,
// --interrupts says how often each way to interrupt is tried, and --only leaves
// out what does not match in its title.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { clients, name as entryName } from './clients.mjs';
import { golden, readWire } from './golden.mjs';
import { startModel } from './model.mjs';
import { interrupted, must, scenarios } from './scenarios.mjs';

const options = process.argv.slice(2).filter((arg) => arg.startsWith('--'));
const [server, tmp, ...names] = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const option = (name) => options.find((o) => o.startsWith(`--${name}=`))?.split('=')[1];
const times = Number(option('interrupts') ?? 1);
const only = option('only') ?? '';
const here = dirname(fileURLToPath(import.meta.url));

const quoted = (text, start = text.indexOf('[mcp_servers')) => text.slice(start, text.indexOf('\n\n', start) + 1);

// install has "pixazo-mcp install" write our entry into an application's
// configuration, or puts there what it prints. It returns the file's path.
function install(client, home, ...flags) {
  const file = join(home, client.file);
  const printed = execFileSync(server, ['install', client.install, '--sandbox', ...flags], { encoding: 'utf8', env: { HOME: home, PATH: process.env.PATH } });
  if (file.endsWith('.toml')) appendFileSync(file, quoted(printed));
  return file;
}

// entryIn returns our entry in a configuration.
function entryIn(file) {
  const text = readFileSync(file, 'utf8');
  if (!file.endsWith('.toml')) return JSON.parse(text).mcpServers[entryName];
  const [, body] = text.split(`[mcp_servers.${entryName}]\n`);
  return Object.fromEntries(body.split('\n[')[0].split('\n').filter(Boolean).map((line) => line.split(/ = (.*)/)).map(([key, value]) => [key, JSON.parse(value)]));
}

// compare checks that the application's own command to add a server writes the
// same entry as ours.
function compare(client, folder) {
  const entries = ['ours', 'theirs'].map((whose) => {
    const home = join(folder, whose);
    mkdirSync(dirname(join(home, client.file)), { recursive: true });
    const args = ['--sandbox', `--state-dir=${home}/a b`];
    if (whose === 'ours') writeFileSync(join(home, client.file), '');
    if (whose === 'ours') return entryIn(install(client, home, `--state-dir=${folder}/theirs/a b`));
    execFileSync(client.command[0], [...client.command.slice(1), ...client.add(server, args)], { env: { HOME: home, PATH: process.env.PATH }, cwd: home, stdio: 'ignore' });
    return entryIn(join(home, client.file));
  });
  const [{ required, ...ours }, { env, ...theirs }] = entries; // Claude Code adds an env without anything in it
  must(isDeepStrictEqual(ours, theirs) && Object.keys(env ?? {}).length === 0, entries);
}

// play runs one scenario of an application, and returns what was seen of it.
async function play(client, model, scenario, folder) {
  const path = (name) => join(folder, name);
  for (const name of ['home', 'work', 'state', 'output', 'records']) mkdirSync(path(name), { recursive: true });
  for (const name of scenario.files ?? []) copyFileSync(join(here, '../slides', name), join(path('work'), name));

  const flags = [...scenario.flags.map((f) => f.replace('WORK', path('work'))), `--state-dir=${path('state')}`, `--output-dir=${path('output')}`, '--log-level=error'];
  mkdirSync(dirname(join(path('home'), client.file)), { recursive: true });
  writeFileSync(join(path('home'), client.file), client.settings(model.url));
  const file = install(client, path('home'), '--allow', ...flags);
  if (!scenario.direct) {
    writeFileSync(path('tee'), `#!/bin/sh\nexec '${process.execPath}' '${join(here, '../clients/tee.mjs')}' '${path('records')}' '${server}' "$@"\n`, { mode: 0o755 });
    writeFileSync(file, readFileSync(file, 'utf8').replace(JSON.stringify(server), JSON.stringify(path('tee'))));
  }

  const ours = (...args) => execFileSync(server, [...args, '--sandbox', `--state-dir=${path('state')}`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 });
  const record = model.play(scenario.script);
  const run = {
    record, slow: scenario.slow, output: path('output'),
    list: () => ours('list', '--json').split('\n').filter(Boolean).map((line) => JSON.parse(line)),
    get results() { return record.seen.at(-1)?.results ?? []; },
  };
  const command = [...client.command, ...(scenario.start ?? client.start('Make the video that we talked about.'))];
  // A session of its own: Ctrl-C reaches all of its group.
  const child = spawn(command[0], command.slice(1), {
    cwd: path('work'), detached: true, stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: path('home'), LANG: 'C.UTF-8', TERM: 'dumb', ...client.env(model.url) },
  });
  let told = '';
  child.stdout.on('data', (chunk) => (told += chunk));
  child.stderr.on('data', (chunk) => (told += chunk));
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(signal ?? code));
  });
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), scenario.slow ? 600_000 : 300_000);
  try {
    await scenario.during?.(run, child);
    const status = await ended;
    writeFileSync(path('told.txt'), told);
    must(scenario.during || status === 0, `it ended with ${status}`);
    run.wire = readWire(path('records'));
    await scenario.check?.(run);
    must(record.unknown.length === 0 || client.asksMore, `the model was asked ${record.unknown.join(', ')}`);
    return run;
  } catch (error) {
    const last = told.trim().split('\n').slice(-5).join('\n').slice(-1500);
    if (error.late) throw error;
    throw new Error(`${error.message}\nasked: ${record.asked}; seen: ${JSON.stringify(run.results).slice(-1500)}\n${last}`);
  } finally {
    clearTimeout(timer);
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {} // it has ended
    try {
      ours('keep', '--stop');
    } catch {} // it still sends, for minutes perhaps, and ends with its state directory
  }
}

// The ways to interrupt an application.
const interrupts = {
  SIGINT: (child) => child.kill('SIGINT'),
  SIGTERM: (child) => child.kill('SIGTERM'),
  'Ctrl-C': (child) => process.kill(-child.pid, 'SIGINT'),
  async 'Ctrl-C twice'(child) {
    process.kill(-child.pid, 'SIGINT');
    await sleep(300);
    try {
      process.kill(-child.pid, 'SIGINT');
    } catch {} // the first one was enough
  },
};

let passed = 0;
let failed = 0;
for (const name of names) {
  const client = clients[name];
  if (!client) throw new Error(`no client ${name}; there are ${Object.keys(clients)}`);
  const { version } = JSON.parse(readFileSync(join(here, name, 'node_modules', client.package, 'package.json'), 'utf8'));
  const model = await startModel(client.prefix);
  let n = 0;
  const attempt = async (title, step) => {
    if (!title.match(only)) return undefined;
    const begun = Date.now();
    try {
      const value = await step(join(tmp, name, String(++n)));
      passed++;
      console.log(`ok    ${name}: ${title} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      return value;
    } catch (error) {
      failed++;
      console.log(`FAIL  ${name}: ${title} (${((Date.now() - begun) / 1000).toFixed(1)} s): ${error.message.replace(/\n/g, '\n      ')}`);
    }
  };

  if (client.add) await attempt('install writes what the application itself would', (folder) => compare(client, folder));
  const runs = {};
  for (const [title, scenario] of Object.entries({ ...scenarios, ...client.scenarios })) {
    if (scenario.slow && !options.includes('--slow')) continue;
    runs[title] = await attempt(title, (folder) => play(client, model, scenario, folder));
  }
  for (const [way, end] of Object.entries(interrupts)) {
    for (let i = 1; i <= times; i++) {
      await attempt(`a submission interrupted by ${way}${times > 1 ? ` ${i} of ${times}` : ''}`, async (folder) => {
        for (let tries = 1; ; tries++) {
          try {
            return await play(client, model, interrupted(end), `${folder}-${tries}`);
          } catch (error) {
            if (!error.late || tries === 20) throw error;
          }
        }
      });
    }
  }
  await attempt('what reaches the model is as in its golden', () => {
    const file = join(here, name, 'golden.txt');
    const got = golden(client.title, version, runs);
    if (options.includes('--update')) writeFileSync(file, got);
    const want = existsSync(file) ? readFileSync(file, 'utf8') : '';
    must(got === want, `${file} differs; write it anew with --update, and read the difference. It should be:\n${got}`);
  });
  model.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
