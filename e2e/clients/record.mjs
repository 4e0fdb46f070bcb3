// Judges what a server wrote, from the records of tee.mjs and http.mjs: every
// message against the protocol's schema of the revision that is spoken there, the
// order of things, and what the tools' own schemas promise.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { revisions } from './schemas.mjs';

const versionKey = 'io.modelcontextprotocol/protocolVersion';
const subscriptionKey = 'io.modelcontextprotocol/subscriptionId';
const modern = '2026-07-28';

// Tools holds the schemas of the tools, compiled in Ajv's strict mode: an
// unknown keyword, a type that is missing or a required property that is not
// described is an error there.
export class Tools {
  #byName = new Map();
  #listed = '';

  // list takes a tools/list result and says what is wrong with it.
  list(tools) {
    const listed = JSON.stringify(tools);
    if (this.#listed !== '') return listed === this.#listed ? [] : ['tools/list differs from the one before'];
    this.#listed = listed;
    const wrong = [];
    for (const tool of tools) {
      const compiled = {};
      for (const key of ['inputSchema', 'outputSchema']) {
        try {
          const ajv = new Ajv2020({ strict: true, strictTypes: true, strictTuples: true, strictRequired: true, allErrors: true });
          formats(ajv);
          compiled[key] = ajv.compile(tool[key]);
        } catch (error) {
          wrong.push(`${tool.name}: ${key} does not compile: ${error.message}`);
        }
      }
      this.#byName.set(tool.name, compiled);
    }
    return wrong;
  }

  get known() {
    return this.#byName.size > 0;
  }

  // call is what is wrong with the answer to a tools/call.
  call(params, result) {
    const tool = this.#byName.get(params.name);
    if (!tool) return [`${params.name} has a result and is not listed`];
    const wrong = [];
    const fails = (key, value) => (tool[key] && !tool[key](value)
      ? tool[key].errors.map((e) => `${params.name}: ${key}${e.instancePath}: ${e.message} ${JSON.stringify(e.params)}`) : []);
    const refused = /^invalid_argument: /.test(result.content?.[0]?.text ?? '');
    const wrongInput = fails('inputSchema', params.arguments ?? {});
    if (!refused) wrong.push(...wrongInput); // what it accepts is what it says it accepts
    if (result.isError) {
      if (result.structuredContent !== undefined) wrong.push(...fails('outputSchema', result.structuredContent));
    } else if (tool.outputSchema && result.structuredContent === undefined) {
      wrong.push(`${params.name}: there is an output schema and no structuredContent`);
    } else {
      wrong.push(...fails('outputSchema', result.structuredContent));
    }
    return wrong;
  }
}

// read is the records in a folder, oldest first, each with its entries.
export const read = (folder) => readdirSync(folder).sort().map((name) =>
  readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)));

// converse looks through messages: [">", line, place] of the client and
// ["<", line, place] of the server. The place of a message over HTTP has its
// exchange, in which a request has its progress and its answer, its session, if
// any, and the revision of its headers; over stdio it is empty. converse returns
// what is wrong, how many lines the server wrote, in which revisions, and the
// requests. later gets checks for when the tools are known.
export function converse(messages, tools, later) {
  const wrong = [];
  const requests = new Map(); // of the client, by key: {message, place, version, progress, answered, cancelled, over}
  const tokens = new Map(); // requests by progress token
  const asked = new Map(); // of the server, by id
  const negotiated = new Map(); // what initialize agreed on, by session
  let listed = []; // pages of tools/list
  let lines = 0;
  const spoken = new Set();
  const key = (id, place) => JSON.stringify([id, place.exchange]);
  const complain = (line, problems) => {
    if (problems.length > 0) wrong.push(`${problems.join('\n  ')}\n  in ${line.slice(0, 1500)}`);
  };
  const revision = (name, line) => {
    if (!revisions.has(name)) {
      complain(line, [`there is no schema of revision ${name}`]);
      return revisions.get(modern);
    }
    spoken.add(name);
    return revisions.get(name);
  };

  const fromClient = (line, place) => {
    const message = JSON.parse(line);
    if (message.method === undefined) {
      asked.delete(message.id);
    } else if (message.id !== undefined) {
      const request = { message, place, progress: -Infinity, version: message.params?._meta?.[versionKey] };
      requests.set(key(message.id, place), request);
      const token = message.params?._meta?.progressToken;
      if (token !== undefined) tokens.set(key(token, place), request);
    } else if (message.method === 'notifications/cancelled' && (place.exchange === undefined || place.session !== undefined)) {
      const request = [...requests.values()].findLast((r) => r.message.id === message.params.requestId && r.place.session === place.session);
      if (request) request.cancelled = requests.size;
    }
  };

  const fromServer = (line, place) => {
    lines++;
    let message;
    try {
      message = JSON.parse(line);
    } catch (error) {
      return complain(line, [`not JSON: ${error.message}`]);
    }
    if (message === null || typeof message !== 'object' || Array.isArray(message)) return complain(line, ['not one message']);
    const problems = [];
    const agreed = negotiated.get(place.session) ?? place.version;
    if (message.method !== undefined && message.id !== undefined) {
      asked.set(message.id, message);
      problems.push(...revision(agreed ?? modern, line).request(message));
    } else if (message.method !== undefined) {
      const { method, params = {} } = message;
      let name = agreed ?? modern;
      if (params._meta?.[subscriptionKey] !== undefined) {
        name = modern;
        const stream = requests.get(key(params._meta[subscriptionKey], place));
        if (stream?.message.method !== 'subscriptions/listen') problems.push('there is no such subscription');
        else if (stream.over || stream.answered) problems.push('the subscription is over');
      } else if (method === 'notifications/progress') {
        const request = tokens.get(key(params.progressToken, place));
        if (!request) problems.push('nobody gave this progress token');
        else {
          name = request.version ?? agreed ?? modern;
          if (request.answered) problems.push('progress after the answer');
          if (request.cancelled) problems.push('progress after the cancellation');
          if (!(params.progress > request.progress)) problems.push(`progress does not rise from ${request.progress}`);
          request.progress = params.progress;
        }
      } else if (agreed === undefined) {
        problems.push('a notification outside of a subscription, and nobody has initialized');
      }
      problems.push(...revision(name, line).notification(message));
    } else {
      const request = requests.get(key(message.id, place));
      if (!request) return complain(line, ['nobody asked for this']);
      if (request.answered) problems.push('a second answer');
      if (request.cancelled) problems.push('an answer to a cancelled request');
      request.answered = true;
      // News of a stream may cross its cancellation on the way. Once a later
      // request is answered, the server has read it.
      const turn = [...requests.values()].indexOf(request);
      for (const earlier of requests.values()) earlier.over ||= earlier.cancelled <= turn;
      const { method, params } = request.message;
      const chosen = method === 'initialize' ? message.result?.protocolVersion : undefined;
      if (chosen) negotiated.set(place.session, chosen);
      const unsupported = message.error?.code === -32022; // the answer is of a revision that there is
      const name = unsupported ? modern : request.version ?? chosen ?? agreed ?? modern;
      problems.push(...revision(name, line).answer(message, method));
      if (method === 'tools/list' && message.result && problems.length === 0) {
        listed.push(...message.result.tools);
        if (!message.result.nextCursor) {
          problems.push(...tools.list(listed));
          listed = [];
        }
      }
      if (method === 'tools/call' && message.result && message.result.resultType !== 'input_required') later.push(() => tools.call(params, message.result).map((problem) => `${problem}\n  in ${line.slice(0, 1500)}`));
    }
    complain(line, problems);
  };

  for (const [kind, line, place = {}] of messages) {
    if (kind === '>') fromClient(line, place);
    else if (kind === '<') fromServer(line, place);
    else if (kind === 'gone') { // the client closed the stream, and can't hear an answer
      for (const request of requests.values()) if (request.place.exchange === place.exchange) request.cancelled ??= requests.size;
    }
  }
  for (const { message, answered, cancelled } of requests.values()) {
    if (!answered && !cancelled && message.method !== 'subscriptions/listen') wrong.push(`request ${JSON.stringify(message.id)}, ${message.method}, has no answer`);
  }
  for (const message of asked.values()) wrong.push(`the client did not answer ${JSON.stringify(message)}`);
  return { wrong, lines, spoken, requests: [...requests.values()] };
}

// judge looks through a record of tee.mjs. signals says that the client may end
// the server with SIGTERM.
export function judge(entries, tools, later, signals = false) {
  const { wrong, lines, spoken, requests } = converse(entries.filter(([kind]) => kind === '>' || kind === '<'), tools, later);
  for (const [kind, line] of entries) if (kind === '< cut off') wrong.push(`the last line has no end: ${line.slice(0, 500)}`);

  // The client closes the input, and the server leaves on its own. Some
  // clients send SIGTERM too, or to a process that they only asked for its
  // revisions; it leaves as well then, and owes no answer.
  const probe = requests.every(({ message }) => message.method === 'server/discover');
  const end = entries.filter(([kind]) => ['eof', 'signal', 'exit'].includes(kind)).map((e) => e.join(' ').trim());
  const fine = signals || probe ? /^((eof|signal SIGTERM), )+exit 0$/ : /^eof, exit 0$/;
  if (!fine.test(end.join(', '))) wrong.push(`the end is ${end.join(', ') || 'missing'}, want eof, exit 0`);
  return { wrong, lines, spoken };
}
