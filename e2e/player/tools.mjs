// What the tests of the player share: the browser, and the server as a process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

export const here = import.meta.dirname;
export const root = path.join(here, '../..');
export const binary = process.env.PIXAZO_MCP ?? path.join(root, 'pixazo-mcp');

const cleanups = [];
export const temporary = name => {
  const dir = mkdtempSync(path.join(tmpdir(), `pixazo-player-${name}-`));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
};

// cleanUp removes what temporary made.
export const cleanUp = () => cleanups.splice(0).forEach(f => f());

// browse starts a Chromium with nothing in it. CHROMIUM names the program where
// it is in no usual place.
export async function browse() {
  const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    .find(file => file && existsSync(file));
  if (!executablePath) throw new Error('no Chromium: install one, or name it in CHROMIUM');
  const browser = await chromium.launchPersistentContext(temporary('profile'), {
    executablePath,
    headless: true,
    viewport: { width: 1280, height: 900 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--mute-audio'],
  });
  browser.setDefaultTimeout(patience);
  return browser;
}

// screenshot keeps a picture in e2e/screenshots, to look at.
export async function screenshot(target, name) {
  mkdirSync(path.join(here, '../screenshots'), { recursive: true });
  await target.screenshot({ path: path.join(here, `../screenshots/${name}.png`) });
}

// Server is the built server over stdio, with a sandbox in the gateway's place.
export class Server {
  #answers = new Map();
  #nextID = 0;

  constructor(...args) {
    this.process = spawn(binary, ['--sandbox', '--max-videos-per-hour=0', '--max-videos-per-day=0', '--auto-save=false', '--keeper=false', '--notify=false',
      `--state-dir=${temporary('state')}`, `--output-dir=${temporary('videos')}`, ...args],
      { stdio: ['pipe', 'pipe', 'ignore'] });
    readline.createInterface({ input: this.process.stdout }).on('line', line => {
      const message = JSON.parse(line);
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
    });
  }

  // ask sends a request and brings the whole answer.
  ask(method, params) {
    const id = ++this.#nextID;
    return new Promise(resolve => {
      this.#answers.set(id, resolve);
      this.process.stdin.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }) + '\n');
    });
  }

  async start() {
    await this.ask('initialize', { protocolVersion: '2025-11-25', clientInfo: { name: 'player test', version: '1' },
      capabilities: { extensions: { 'io.modelcontextprotocol/ui': { mimeTypes: ['text/html;profile=mcp-app'] } } } });
    this.process.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
    return this;
  }

  async call(name, args) {
    return (await this.ask('tools/call', { name, arguments: args })).result;
  }

  async stop() {
    this.process.stdin.end();
    await once(this.process, 'exit');
  }
}

// patience is how long, in milliseconds, a test waits for what is to come at once, on a
// machine that has much else to do.
const patience = 60e3;

// until waits for a function to give something true.
export async function until(what, condition, limit = patience) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${limit / 1000} s for ${what}`);
    await new Promise(done => setTimeout(done, 50));
  }
}
