// Exchanges with a fault planted in each, which the judge must find.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeHTTP } from './http.mjs';
import { Tools } from './record.mjs';

const line = (message) => JSON.stringify({ jsonrpc: '2.0', ...message });
const event = (message) => `event: message\ndata: ${line(message)}`;
const hello = { id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } };
const welcome = { id: 0, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'test', version: '1' } } };
const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
let exchange = 0;
// post is an exchange: what is sent, the answer's status and type, and its events or body.
function post(message, { status = 200, type = 'application/json', session, ...request } = {}, ...answer) {
  const n = exchange++;
  const body = message ? line(message) : '';
  return [
    ['request', n, { method: 'POST', session: 's', version: '2025-11-25', user: 'alice', body, ...request }],
    ['head', n, { status, type, session }],
    ...answer.map((a) => (a === undefined ? ['gone', n] : typeof a === 'string' ? ['event', n, a] : ['body', n, line(a)])),
  ];
}
const stream = { type: 'text/event-stream' };
const none = { status: 202, type: '' };
const open = post(hello, { session: 's', version: undefined }, welcome);
const call = (id) => ({ id, method: 'tools/call', params: { name: 'wait', arguments: {}, _meta: { progressToken: id } } });
const progress = (progressToken, value = 1) => event({ method: 'notifications/progress', params: { progressToken, progress: value } });
const pong = (id) => ({ id, result: {} });
const ping = (id) => ({ id, method: 'ping' });
const old = { ...call(2), id: 2 };
const modern = { version: '2026-07-28', session: undefined };
const listen = (id) => ({ id, method: 'subscriptions/listen', params: { notifications: { resourceSubscriptions: ['a:b'] }, _meta: meta } });
const updated = (id) => event({ method: 'notifications/resources/updated', params: { uri: 'a:b', _meta: { 'io.modelcontextprotocol/subscriptionId': id } } });
const news = event({ method: 'notifications/resources/updated', params: { uri: 'a:b' } });
const cancel = post({ method: 'notifications/cancelled', params: { requestId: 2 } }, none);
const id = 'heygen-video-agent_01a214f9-5094-7000-80fa-00dfb5a09567';
const generate = { ...call(3), params: { name: 'generate_video', arguments: { prompt: 'x' } } };
const answer = (n, text = 'done') => ({ id: n, result: { content: [{ type: 'text', text }] } });
const waiting = post(old, stream);

const faults = (entries) => judgeHTTP(entries, new Tools(), []).wrong.join('\n');

test('nothing is wrong with good exchanges', () => {
  const list = { id: 4, method: 'tools/call', params: { name: 'list', arguments: {} } };
  for (const good of [
    [open, post({ method: 'notifications/initialized' }, none), post(call(2), stream, ':', progress(2), event(answer(2)))],
    [open, post(undefined, { method: 'GET', ...stream }, 'id: a\ndata:', ':', news, undefined), post(undefined, { ...none, method: 'DELETE', status: 204 }), post(ping(1), { status: 404, type: 'text/plain' })],
    [open, post(old, stream, progress(2)), cancel],
    [post(listen(1), { ...stream, ...modern }, updated(1), undefined), post(listen(1), { ...stream, ...modern }, updated(1), undefined)],
    [open, post(generate, {}, answer(3, id)), post(list, {}, answer(4, id))],
  ]) assert.equal(faults(good.flat()), '');
});

for (const [name, entries, want] of [
  ['no answer', [open, post(ping(1), none)], /has no answer/],
  ['nothing at all', [open, post(ping(1), {}).slice(0, 1)], /has no answer/],
  ['an answer in another exchange', [open, post(ping(1), {}, pong(1)), post(ping(2), {}, pong(1))], /nobody asked/],
  ['an answer on the stream of news', [open, post(undefined, { method: 'GET', ...stream }, event(pong(0)))], /nobody asked/],
  ['a stream of news without an id', [open, post(undefined, { method: 'GET', ...stream }, ':', undefined)], /begins with 0 ids/],
  ['progress in another exchange', [open, post(call(1), stream, event(answer(1))), post(call(2), stream, progress(1), event(answer(2)))], /nobody gave/],
  ['progress behind the answer', [open, post(call(1), stream, event(answer(1)), progress(1))], /behind the answer/],
  ['an answer to a cancelled call', [open, waiting, cancel, [['event', waiting[0][1], event(answer(2))]]], /cancelled request/],
  ['news of another listener', [post(listen(1), { ...stream, ...modern }, updated(2), undefined)], /no such subscription/],
  ['news without a subscription, since 2026-07-28', [post({ ...call(1), params: { ...call(1).params, _meta: meta } }, { ...stream, ...modern }, news)], /has no answer/],
  ['two messages in an event', [open, post(ping(1), stream, `${event(pong(1))}\ndata: {}`)], /an event that is none/],
  ['a body of another type', [open, post(ping(1), { type: 'text/html' }, pong(1))], /text\/html/],
  ['a failure of the server', [open, post(ping(1), { status: 500 }, pong(1))], /500/],
  ['an answer to a notification', [open, post({ method: 'notifications/initialized' }, {}, pong(1))], /200/],
  ['a session for nothing', [open, post(ping(1), { session: 't' }, pong(1))], /a session that nobody/],
  ['a session that does not end', [open, post(undefined, { ...none, method: 'DELETE', status: 204 }), post(ping(1), {}, pong(1))], /has ended/],
  ['GET since 2026-07-28', [post(undefined, { method: 'GET', ...stream, ...modern }, news)], /200/],
  ["another user's video", [open, post(generate, {}, answer(3, id)), post(call(4), { user: 'bob' }, answer(4, id))], /another user's/],
]) test(`found: ${name}`, () => assert.match(faults(entries.flat()), want));
