// A host of MCP Apps (2026-01-26) for tests: it shows the player in a sandboxed
// frame under the policy that the specification builds from the resource's
// _meta, and it answers as the test says.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { here, until } from './tools.mjs';

// everything is what a host can offer.
export const everything = { openLinks: {}, serverTools: {}, serverResources: {}, message: { text: {} } };

// policy is the Content-Security-Policy of the specification's section
// "Content Security Policy Enforcement".
function policy(domains) {
  const from = domains.join(' ');
  return ["default-src 'none'", `script-src 'self' 'unsafe-inline' ${from}`, `style-src 'self' 'unsafe-inline' ${from}`,
    "connect-src 'self'", `img-src 'self' data: ${from}`, `font-src 'self' ${from}`, `media-src 'self' data: ${from}`,
    "frame-src 'none'", "object-src 'none'", "base-uri 'self'"].join('; ');
}

// serve hands out the host's page and the player's, which it takes from the
// MCP server as a host does.
export async function serve(server) {
  const read = (await server.ask('resources/read', { uri: 'ui://pixazo/player' })).result.contents[0];
  const origins = read._meta.ui.csp.resourceDomains ?? [];
  const listener = createServer((request, response) => {
    const url = new URL(request.url, 'http://127.0.0.1');
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    if (url.pathname === '/view') {
      response.setHeader('Content-Security-Policy', policy(url.searchParams.has('blocked') ? [] : origins));
      response.end(read.text);
    } else if (url.pathname === '/') {
      response.end(readFileSync(path.join(here, 'host.html')));
    } else {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return { url: `http://127.0.0.1:${listener.address().port}/`, close: () => listener.close() };
}

// Host is one page that shows the player.
//   capabilities  what the host offers
//   context       the host's context
//   tool          answers a tools/call: (name, arguments) → result; throws for a JSON-RPC error
//   answer        answers any other request of the player, by method
//   blocked       whether the policy lets no media in
//   early         whether the test goes on before the handshake
//   initialize    what is waited for before the handshake is answered
//   hurry         whether calls of the player run out of time within a second
export class Host {
  sent = []; // every message of the player, with the time it came
  #answers = new Map();
  #nextID = 0;

  // show opens a host for a test, and lets it not end with an error in its page.
  static async show(t, browser, site, options) {
    const host = await Host.open(browser, site, options);
    t.after(async () => {
      await host.close();
      assert.deepEqual(host.errors, []);
    });
    return host;
  }

  static async open(browser, site, options = {}) {
    const host = new Host();
    host.options = { capabilities: everything, context: { theme: 'light' }, answer: {}, ...options };
    host.page = await browser.newPage();
    host.errors = [];
    host.page.on('pageerror', error => host.errors.push(String(error)));
    // The delays that the player polls with, as it asks the browser for them.
    await host.page.addInitScript(hurry => {
      const real = window.setTimeout;
      window.delays = [];
      window.setTimeout = (f, ms) => {
        if (f.name === 'poll') window.delays.push(ms);
        return real(f, hurry && ms >= 10e3 ? 1000 : ms);
      };
    }, host.options.hurry);
    await host.page.exposeFunction('fromView', message => host.#receive(message));
    await host.page.goto(site.url + (options.blocked ? '?blocked' : ''));
    await until('the handshake', () => host.saw(host.options.early ? 'ui/initialize' : 'ui/notifications/initialized').length);
    host.frame = host.page.frames().find(f => f.url().includes('/view'));
    return host;
  }

  async #receive(message) {
    this.sent.push({ ...message, at: Date.now() });
    if (message.method === undefined) {
      this.#answers.get(message.id)?.(message);
      return null;
    }
    if (message.id === undefined) return null;
    const id = message.id;
    try {
      return { jsonrpc: '2.0', id, result: await this.#result(message.method, message.params) };
    } catch (error) {
      return { jsonrpc: '2.0', id, error: { code: -32000, message: error.message } };
    }
  }

  async #result(method, params) {
    const { capabilities, context, tool, answer } = this.options;
    if (method === 'ui/initialize') {
      await this.options.initialize?.();
      return { protocolVersion: '2026-01-26', hostInfo: { name: 'test', version: '1' }, hostCapabilities: capabilities, hostContext: context };
    }
    if (method === 'tools/call' && tool) return tool(params.name, params.arguments);
    if (answer[method]) return answer[method](params);
    throw new Error(`${method} is not offered`);
  }

  saw(method) { return this.sent.filter(m => m.method === method); }
  calls(name) { return this.saw('tools/call').filter(m => m.params.name === name); }
  tell(method, params) { return this.page.evaluate(m => toView(m), { jsonrpc: '2.0', method, params }); }

  // ask sends the player a request and brings the whole answer.
  async ask(method, params = {}) {
    const id = `host-${++this.#nextID}`;
    const answered = new Promise(resolve => this.#answers.set(id, resolve));
    await this.page.evaluate(m => toView(m), { jsonrpc: '2.0', id, method, params });
    return answered;
  }

  // show gives the player a call and its result.
  async show(args, result) {
    await this.tell('ui/notifications/tool-input', { arguments: args });
    if (result) await this.tell('ui/notifications/tool-result', result);
  }

  // run has the server make the call, as a model would.
  async run(server, name, args) {
    await this.tell('ui/notifications/tool-input', { arguments: args });
    const result = await server.call(name, args);
    await this.tell('ui/notifications/tool-result', result);
    return result;
  }

  text(id) { return this.frame.locator(`#${id}`).evaluate(e => e.checkVisibility() ? e.innerText : ''); }
  reads(id, wanted) {
    return until(`#${id} to read ${wanted}`, async () => {
      const got = await this.text(id);
      return wanted instanceof RegExp ? wanted.test(got) : got === wanted;
    }).catch(async error => { throw new Error(`${error.message}; it reads: ${await this.text(id)}`); });
  }

  // follow notes each text that an element has from now on: one may be gone before it is
  // read. It brings a function that waits until the element has had a text.
  async follow(id) {
    await this.frame.evaluate(id => {
      const element = document.getElementById(id), texts = (window.followed ??= {})[id] = [];
      new MutationObserver(() => texts.push(element.checkVisibility() ? element.innerText : ''))
        .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    }, id);
    return wanted => until(`#${id} to have read ${wanted}`, async () => (await this.frame.evaluate(id => followed[id], id)).some(text => wanted.test(text)));
  }

  async resize(width) {
    await this.page.evaluate(w => { view.style.width = `${w}px`; }, width);
    await until('the width', () => this.frame.evaluate(w => innerWidth === w, width));
  }

  close() { return this.page.close(); }
}
