// Records with a fault planted in each: the judge that finds nothing in a run
// must find these.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, Tools } from './record.mjs';

const line = (message) => JSON.stringify({ jsonrpc: '2.0', ...message });
const sent = (message) => ['>', line(message)];
const came = (message) => ['<', line(message)];
const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const hello = [
  sent({ id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } }),
  came({ id: 0, result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'test', version: '1' } } }),
];
const object = (properties, required = []) => ({ type: 'object', properties, required, additionalProperties: false });
const tool = { name: 'wait', inputSchema: object({ id: { type: 'string' } }, ['id']), outputSchema: object({ done: { type: 'boolean' } }, ['done']) };
const listed = [sent({ id: 1, method: 'tools/list' }), came({ id: 1, result: { tools: [tool] } })];
const call = sent({ id: 2, method: 'tools/call', params: { name: 'wait', arguments: { id: 'a' }, _meta: { progressToken: 't' } } });
const progress = (value, progressToken = 't') => came({ method: 'notifications/progress', params: { progressToken, progress: value } });
const content = [{ type: 'text', text: 'done' }];
const answer = came({ id: 2, result: { content, structuredContent: { done: true } } });
const cancel = sent({ method: 'notifications/cancelled', params: { requestId: 2 } });
const end = [['eof'], ['exit', 0, null]];
const good = [...hello, ...listed, call, progress(1), progress(2), answer];

function faults(entries, signals) {
  const later = [];
  const { wrong } = judge(entries, new Tools(), later, signals);
  return [...wrong, ...later.flatMap((check) => check())].join('\n');
}

test('nothing is wrong with a good record', () => {
  assert.equal(faults([...good, ...end]), '');
  assert.equal(faults([...hello, ...listed, call, cancel, ...end]), '');
  assert.equal(faults([...stream, news, cancelStream, news, ...end]), ''); // it was on its way
  assert.equal(faults([...good, ['signal', 'SIGTERM'], ['exit', 0, null]], true), '');
});

const discover = sent({ id: 5, method: 'server/discover', params: { _meta: meta } });
const discovered = (id) => came({ id, result: { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: {}, ttlMs: 0, cacheScope: 'private' } });
const stream = [sent({ id: 's', method: 'subscriptions/listen', params: { notifications: { resourcesListChanged: true }, _meta: meta } })];
const cancelStream = sent({ method: 'notifications/cancelled', params: { requestId: 's' } });
const news = came({ method: 'notifications/resources/list_changed', params: { _meta: { 'io.modelcontextprotocol/subscriptionId': 's' } } });
const wait = (result) => [...hello, ...listed, call, came({ id: 2, result }), ...end];
const withTool = (changed) => [...hello, listed[0], came({ id: 1, result: { tools: [{ ...tool, ...changed }] } }), ...end];
for (const [name, entries, want] of [
  ['not JSON', [...hello, ['<', 'listening on port 1'], ...end], /not JSON/],
  ['a batch', [...hello, ['<', '[]'], ...end], /not one message/],
  ['no newline at the end', [...good, ['< cut off', '{}'], ...end], /has no end/],
  ['a field of the wrong type', [...hello, listed[0], came({ id: 1, result: { tools: {} } }), ...end], /tools/],
  ['an error without a code', [...hello, listed[0], came({ id: 1, error: { message: 'no' } }), ...end], /code/],
  ['a result without its type, since 2026-07-28', [discover, came({ id: 5, result: { supportedVersions: [], capabilities: {} } }), ...end], /resultType/],
  ['a request for input, before 2026-07-28', wait({ resultType: 'input_required', inputRequests: {} }), /no InputRequiredResult/],
  ['a request for input that is none', [sent({ id: 5, method: 'tools/call', params: { name: 'wait', _meta: meta } }), came({ id: 5, result: { resultType: 'input_required', inputRequests: [] } }), ...end], /inputRequests/],
  ['an error without its data, since 2026-07-28', [discover, came({ id: 5, error: { code: -32022, message: 'no' } }), ...end], /data/],
  ['a method of another revision', [...hello, came({ method: 'notifications/subscriptions/acknowledged', params: { notifications: {} } }), ...end], /no method/],
  ['nobody asked', [...good, came({ id: 9, result: {} }), ...end], /nobody asked/],
  ['no answer', [...hello, ...listed, call, ...end], /has no answer/],
  ['two answers', [...good, answer, ...end], /second answer/],
  ['an answer to a cancelled request', [...hello, ...listed, call, cancel, answer, ...end], /cancelled request/],
  ['progress after the answer', [...good, progress(3), ...end], /progress after the answer/],
  ['progress after the cancellation', [...hello, ...listed, call, cancel, progress(3), ...end], /progress after the cancellation/],
  ['progress that falls', [...hello, ...listed, call, progress(2), progress(1), answer, ...end], /does not rise/],
  ['progress of a token that nobody gave', [...good, progress(3, 'x'), ...end], /nobody gave/],
  ['a notification that nobody wants', [discover, came({ method: 'notifications/resources/list_changed' }), ...end], /nobody has initialized/],
  ['a notification of no subscription', [discover, came({ method: 'notifications/resources/list_changed', params: { _meta: { 'io.modelcontextprotocol/subscriptionId': 7 } } }), ...end], /no such subscription/],
  ['news of a cancelled subscription', [...stream, cancelStream, sent({ id: 6, method: 'server/discover', params: { _meta: meta } }), discovered(6), news, ...end], /subscription is over/],
  ['a result against the output schema', wait({ content, structuredContent: { done: 'yes' } }), /outputSchema\/done/],
  ['no structured content', wait({ content }), /no structuredContent/],
  ['a keyword that JSON Schema does not know', withTool({ inputSchema: { ...tool.inputSchema, requird: [] } }), /does not compile/],
  ['an input schema against what is accepted', [...hello, ...listed, sent({ id: 3, method: 'tools/call', params: { name: 'wait', arguments: { idd: 1 } } }), came({ id: 3, result: { content, structuredContent: { done: true } } }), ...end], /inputSchema/],
  ['tools that change', [...good, sent({ id: 8, method: 'tools/list' }), came({ id: 8, result: { tools: [] } }), ...end], /differs/],
  ['a failure at the end', [...good, ['eof'], ['exit', 1, null]], /the end is/],
  ['a server that had to be ended', [...good, ['eof'], ['signal', 'SIGTERM'], ['exit', 0, null]], /the end is/],
]) test(`found: ${name}`, () => assert.match(faults(entries), want));
