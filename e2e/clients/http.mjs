// Stands between clients and a server over HTTP, as a proxy does, keeps what is
// said at /mcp, and judges it by the rules of Streamable HTTP.
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { converse } from './record.mjs';

const modern = '2026-07-28';

// record starts a proxy, which passes everything on to target() as it comes, and
// resolves to its origin, the entries that it keeps, and close.
//
// An entry is [kind, exchange, ...]: "request" with {method, session, version,
// user, body}, "head" with {status, type, session}, "event" with a piece of an
// event stream as it was between blank lines, "body" with any other body, and
// "gone" when the client left before the end.
export async function record(target) {
  const entries = [];
  const agent = new Agent({ keepAlive: true });
  let exchanges = 0;
  const server = createServer(async (req, resp) => {
    const exchange = exchanges++;
    const keep = new URL(req.url, 'http://x').pathname === '/mcp' ? (kind, what) => entries.push([kind, exchange, what]) : () => {};
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { 'mcp-session-id': session, 'mcp-protocol-version': version, authorization: user = '' } = req.headers;
    keep('request', { method: req.method, session, version, user, body: body.toString('utf8') });
    const onward = request(new URL(req.url, target()), { method: req.method, headers: req.headers, agent }, (answer) => {
      const { 'content-type': type = '', 'mcp-session-id': session } = answer.headers;
      keep('head', { status: answer.statusCode, type, session });
      resp.writeHead(answer.statusCode, answer.headers);
      resp.flushHeaders();
      let rest = Buffer.alloc(0);
      answer.on('data', (chunk) => {
        rest = Buffer.concat([rest, chunk]);
        if (type === 'text/event-stream') {
          for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.subarray(end + 2)) keep('event', rest.subarray(0, end).toString('utf8'));
        }
        resp.write(chunk); // once it is kept: what follows from it comes later
      });
      answer.on('end', () => {
        if (rest.length > 0) keep('body', rest.toString('utf8'));
        resp.end();
      });
      answer.on('error', () => resp.destroy());
    });
    onward.on('error', (error) => {
      if (!resp.headersSent && !resp.destroyed) {
        keep('head', { status: 502, type: '' });
        keep('body', String(error));
      }
      resp.destroy();
    });
    resp.on('close', () => {
      if (!resp.writableFinished) keep('gone');
      onward.destroy();
    });
    onward.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    entries,
    close() {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}

// judgeHTTP looks through the entries of a proxy, as judge does through a record.
export function judgeHTTP(entries, tools, later) {
  const wrong = [];
  const messages = []; // for converse
  const exchanges = new Map();
  const ended = new Set(); // sessions
  const made = new Map(); // users by request_id

  for (const [kind, exchange, what] of entries) {
    const e = exchanges.get(exchange) ?? {};
    const place = { exchange, session: e.session, version: e.version };
    const complain = (problem) => wrong.push(`${problem}\n  in the answer to ${e.method} ${e.body.slice(0, 500)}`);
    const said = (line) => {
      e.said = (e.said ?? 0) + 1;
      if (e.over) complain('a message behind the answer');
      const message = parsed(line);
      e.over = message?.method === undefined;
      const session = e.asked?.method === 'initialize' ? e.opened : e.session;
      messages.push(['<', line, { ...place, session }]);
      for (const id of line.match(/heygen-video-agent_[0-9a-f-]{36}/g) ?? []) {
        if (!made.has(id) && e.asked?.params?.name === 'generate_video') made.set(id, e.user);
        if (made.get(id) !== e.user && !e.body.includes(id)) complain(`another user's ${id}`);
      }
    };
    switch (kind) {
      case 'request':
        exchanges.set(exchange, { ...what, asked: parsed(what.body), kinds: [] });
        if (what.method === 'POST') messages.push(['>', what.body, { exchange, session: what.session, version: what.version }]);
        continue;
      case 'head':
        Object.assign(e, { status: what.status, type: what.type, opened: what.session });
        if (e.method === 'DELETE' && what.status < 300) ended.add(e.session);
        for (const problem of headProblems(e, what, ended)) complain(problem);
        if (what.status === 404 && ended.has(e.session)) messages.push(['gone', '', place]);
        break;
      case 'event':
        if (/^event: message\ndata: [^\n]+$/.test(what)) said(what.slice(what.indexOf('data: ') + 6));
        else if (e.method === 'GET' && e.version === '2025-11-25' && /^id: \S+\ndata:$/.test(what)) e.primed = (e.primed ?? 0) + 1;
        else if (what !== ':') complain(`an event that is none: ${JSON.stringify(what.slice(0, 200))}`);
        break;
      case 'body':
        if (e.type === 'text/event-stream') complain(`a piece of an event: ${what.slice(0, 200)}`);
        else if (e.type === 'application/json') said(what);
        else if (e.status < 400) complain(`${e.status} with ${e.type || 'no type'}: ${what.slice(0, 200)}`);
        break;
      case 'gone':
        messages.push(['gone', '', place]);
    }
  }
  for (const [exchange, { method, body, status, version, type, primed }] of exchanges) {
    if (method === 'GET' && version === '2025-11-25' && type === 'text/event-stream' && primed !== 1) wrong.push(`a stream of news begins with ${primed ?? 0} ids`);
    if (status === undefined && !entries.some(([kind, n]) => kind === 'gone' && n === exchange)) wrong.push(`${method} ${body.slice(0, 500)} has no answer`);
  }
  const { lines, spoken, ...talk } = converse(messages, tools, later);
  return { wrong: [...wrong, ...talk.wrong], lines, spoken };
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

// headProblems is what is wrong with the status and the headers of an answer.
function* headProblems({ method, asked, version, session }, { status, type, session: opened }, ended) {
  const isModern = version >= modern;
  if (opened !== undefined && (asked?.method !== 'initialize' || isModern)) yield 'a session that nobody asked for';
  if (ended.has(session) && method !== 'DELETE') {
    if (status !== 404) yield `${status} in a session that has ended`;
    return;
  }
  if (method === 'GET' && !isModern) {
    if (status !== 200 || type !== 'text/event-stream') yield `${status} ${type}`;
  } else if (method === 'DELETE' && !isModern) {
    if (status !== 204) yield `${status}`;
  } else if (method !== 'POST') {
    if (status !== 405) yield `${status}`;
  } else if (asked?.id === undefined || asked.method === undefined) {
    if (status !== 202) yield `${status}`;
  } else if (status === 202) {
    // A request that was cancelled has no answer; converse misses those of others.
  } else if (status !== 200 && !(status >= 400 && status < 500 && type === 'application/json')) {
    yield `${status} ${type}`;
  } else if (!['application/json', 'text/event-stream'].includes(type)) {
    yield `${status} ${type}`;
  }
}
