// Judges what a server wrote, from the records of tee.mjs: every line against
// the protocol's schema of the revision that is spoken there, the order of
// things, and what the tools' own schemas promise.
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

// judge looks through a record: what is wrong in it, and how many lines the
// server wrote. later gets checks for when the tools are known; signals says
// that the client may end the server with SIGTERM.
export function judge(entries, tools, later, signals = false) {
  const wrong = [];
  const requests = new Map(); // of the client, by id: {message, version, progress, answered, cancelled, over}
  const tokens = new Map(); // requests by progress token
  const asked = new Map(); // of the server, by id
  let negotiated; // what initialize agreed on
  let listed = []; // pages of tools/list
  let lines = 0;
  const spoken = new Set();
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

  const fromClient = (line) => {
    const message = JSON.parse(line);
    if (message.method === undefined) {
      asked.delete(message.id);
    } else if (message.id !== undefined) {
      const request = { message, progress: -Infinity, version: message.params?._meta?.[versionKey] };
      requests.set(message.id, request);
      const token = message.params?._meta?.progressToken;
      if (token !== undefined) tokens.set(token, request);
    } else if (message.method === 'notifications/cancelled') {
      const request = requests.get(message.params.requestId);
      if (request) request.cancelled = requests.size;
    }
  };

  const fromServer = (line) => {
    lines++;
    let message;
    try {
      message = JSON.parse(line);
    } catch (error) {
      return complain(line, [`not JSON: ${error.message}`]);
    }
    if (message === null || typeof message !== 'object' || Array.isArray(message)) return complain(line, ['not one message']);
    const problems = [];
    if (message.method !== undefined && message.id !== undefined) {
      asked.set(message.id, message);
      problems.push(...revision(negotiated ?? modern, line).request(message));
    } else if (message.method !== undefined) {
      const { method, params = {} } = message;
      let name = negotiated ?? modern;
      if (params._meta?.[subscriptionKey] !== undefined) {
        name = modern;
        const stream = requests.get(params._meta[subscriptionKey]);
        if (stream?.message.method !== 'subscriptions/listen') problems.push('there is no such subscription');
        else if (stream.over || stream.answered) problems.push('the subscription is over');
      } else if (method === 'notifications/progress') {
        const request = tokens.get(params.progressToken);
        if (!request) problems.push('nobody gave this progress token');
        else {
          name = request.version ?? negotiated ?? modern;
          if (request.answered) problems.push('progress after the answer');
          if (request.cancelled) problems.push('progress after the cancellation');
          if (!(params.progress > request.progress)) problems.push(`progress does not rise from ${request.progress}`);
          request.progress = params.progress;
        }
      } else if (negotiated === undefined) {
        problems.push('a notification outside of a subscription, and nobody has initialized');
      }
      problems.push(...revision(name, line).notification(message));
    } else {
      const request = requests.get(message.id);
      if (!request) return complain(line, ['nobody asked for this']);
      if (request.answered) problems.push('a second answer');
      if (request.cancelled) problems.push('an answer to a cancelled request');
      request.answered = true;
      // News of a stream may cross its cancellation on the way. Once a later
      // request is answered, the server has read it.
      const place = [...requests.keys()].indexOf(message.id);
      for (const earlier of requests.values()) earlier.over ||= earlier.cancelled <= place;
      const { method, params } = request.message;
      if (method === 'initialize') negotiated = message.result?.protocolVersion ?? negotiated;
      const unsupported = message.error?.code === -32022; // the answer is of a revision that there is
      const name = unsupported ? modern : request.version ?? negotiated ?? modern;
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

  for (const [kind, ...rest] of entries) {
    if (kind === '>') fromClient(rest[0]);
    else if (kind === '<') fromServer(rest[0]);
    else if (kind === '< cut off') wrong.push(`the last line has no end: ${rest[0].slice(0, 500)}`);
  }
  for (const [id, { message, answered, cancelled }] of requests) {
    if (!answered && !cancelled && message.method !== 'subscriptions/listen') wrong.push(`request ${JSON.stringify(id)}, ${message.method}, has no answer`);
  }
  for (const message of asked.values()) wrong.push(`the client did not answer ${JSON.stringify(message)}`);

  // The client closes the input, and the server leaves on its own. Some
  // clients send SIGTERM too, or to a process that they only asked for its
  // revisions; it leaves as well then, and owes no answer.
  const probe = [...requests.values()].every(({ message }) => message.method === 'server/discover');
  const end = entries.filter(([kind]) => ['eof', 'signal', 'exit'].includes(kind)).map((e) => e.join(' ').trim());
  const fine = signals || probe ? /^((eof|signal SIGTERM), )+exit 0$/ : /^eof, exit 0$/;
  if (!fine.test(end.join(', '))) wrong.push(`the end is ${end.join(', ') || 'missing'}, want eof, exit 0`);
  return { wrong, lines, spoken };
}
