// A model that plays a script, for the applications under test: one HTTP server
// on loopback that speaks Anthropic's Messages, OpenAI's Responses and Chat
// Completions, and Gemini's generateContent, streamed or not.
//
// What an application sends is read into one form, whatever the protocol:
//
//   { system, first, tools: [{ name, namespace, description, schema }], results: [{ tool, args, text, error }] }
//
// system and first are the text before the conversation and of its user; name is
// the application's for a tool; results are of our tools, in their order. A
// script is a function of that form which returns what the model does next:
// { tool, args } or { text }.
import { createServer } from 'node:http';

const ours = ['generate_video', 'get_status', 'wait_for_video', 'list_videos', 'download_video'];

// own is our name of a tool that an application calls NAME, with its prefix.
export const own = (name = '') => ours.find((n) => name === n || name.endsWith('_' + n) || name.endsWith('.' + n));

const words = (content) => (typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? part.refusal ?? '').join('\n'));

// spaced is the name of a tool in a namespace, for us.
const spaced = (namespace, name) => (namespace ? `${namespace}.${name}` : name);

// results pairs calls with their answers, in the order of the answers.
function results(calls, answers) {
  return answers.flatMap(({ id, text, error }) => {
    const call = calls.find((c) => c.id === id);
    const tool = own(call?.name);
    return tool ? [{ tool, args: call.args, text, error }] : [];
  });
}

// The protocols: how a request is read, and an answer written. An answer is the
// events of the stream, and what is sent in one piece.
const protocols = {
  messages: {
    path: /\/v1\/messages$/,
    read(body) {
      const parts = body.messages.flatMap((m) => (typeof m.content === 'string' ? [{ type: 'text', text: m.content }] : m.content).map((part) => ({ role: m.role, ...part })));
      const said = (role) => parts.filter((p) => p.role === role && p.type === 'text').map((p) => p.text);
      return {
        system: [words(body.system), ...said('system')].join('\n'),
        first: said('user').join('\n'),
        tools: (body.tools ?? []).map((t) => ({ name: t.name, description: t.description, schema: t.input_schema, deferred: t.defer_loading })),
        calls: parts.filter((p) => p.type === 'tool_use').map((p) => ({ id: p.id, name: p.name, args: p.input })),
        answers: parts.filter((p) => p.type === 'tool_result').map((p) => ({ id: p.tool_use_id, text: words(p.content), error: p.is_error })),
      };
    },
    write(action, id, model) {
      const call = action.tool !== undefined;
      const block = call ? { type: 'tool_use', id, name: action.tool, input: action.args } : { type: 'text', text: action.text };
      const usage = { input_tokens: 1, output_tokens: 1 };
      const message = { id: 'msg_' + id, type: 'message', role: 'assistant', model, content: [block], stop_reason: call ? 'tool_use' : 'end_turn', stop_sequence: null, usage };
      const events = [
        { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
        { type: 'content_block_start', index: 0, content_block: call ? { ...block, input: {} } : { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: call ? { type: 'input_json_delta', partial_json: JSON.stringify(action.args) } : { type: 'text_delta', text: action.text } },
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: message.stop_reason, stop_sequence: null }, usage },
        { type: 'message_stop' },
      ];
      return { events, whole: message };
    },
  },

  responses: {
    path: /\/responses$/,
    read(body) {
      const flat = (tools) => tools.flatMap((t) => (t.type === 'namespace' ? t.tools.map((f) => ({ ...f, namespace: t.name, about: t.description })) : [t]));
      const said = (role) => body.input.filter((i) => i.type === 'message' && i.role === role).map((i) => words(i.content)).join('\n');
      const tools = flat(body.tools ?? []);
      return {
        system: [body.instructions, said('developer'), said('system'), ...new Set(tools.map((t) => t.about).filter(Boolean))].join('\n'),
        first: said('user'),
        tools: tools.map((t) => ({ name: spaced(t.namespace, t.name ?? t.type), namespace: t.namespace, bare: t.name, description: t.description, schema: t.parameters })),
        calls: body.input.filter((i) => i.type === 'function_call').map((i) => ({ id: i.call_id, name: spaced(i.namespace, i.name), args: JSON.parse(i.arguments) })),
        answers: body.input.filter((i) => i.type === 'function_call_output').map((i) => ({ id: i.call_id, text: words(i.output), error: i.output?.success === false })),
      };
    },
    write(action, id, model) {
      const item = action.tool !== undefined
        ? { type: 'function_call', id: 'fc_' + id, call_id: id, namespace: action.namespace, name: action.namespace ? action.bare : action.tool, arguments: JSON.stringify(action.args), status: 'completed' }
        : { type: 'message', id: 'msg_' + id, role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: action.text, annotations: [] }] };
      const response = { id: 'resp_' + id, object: 'response', model, status: 'completed', output: [item], usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } };
      const events = [
        { type: 'response.created', response: { ...response, status: 'in_progress', output: [] } },
        { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress' } },
        { type: 'response.output_item.done', output_index: 0, item },
        { type: 'response.completed', response },
      ];
      return { events, whole: response };
    },
  },

  chat: {
    path: /\/chat\/completions$/,
    read(body) {
      const said = (role) => body.messages.filter((m) => m.role === role).map((m) => words(m.content)).join('\n');
      return {
        system: said('system') + said('developer'),
        first: said('user'),
        tools: (body.tools ?? []).map(({ function: f }) => ({ name: f.name, description: f.description, schema: f.parameters })),
        calls: body.messages.flatMap((m) => m.tool_calls ?? []).map((c) => ({ id: c.id, name: c.function.name, args: JSON.parse(c.function.arguments) })),
        answers: body.messages.filter((m) => m.role === 'tool').map((m) => ({ id: m.tool_call_id, text: words(m.content) })),
      };
    },
    write(action, id, model) {
      const base = { id: 'chat-' + id, created: Math.floor(Date.now() / 1000), model };
      const call = action.tool !== undefined;
      const calls = call && [{ index: 0, id, type: 'function', function: { name: action.tool, arguments: JSON.stringify(action.args) } }];
      const message = { role: 'assistant', ...(call ? { content: null, tool_calls: calls } : { content: action.text }) };
      const finish_reason = call ? 'tool_calls' : 'stop';
      const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
      const chunk = (delta, finish_reason, more) => ({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }], ...more });
      return {
        events: [chunk(message, null), chunk({}, finish_reason, { usage }), '[DONE]'],
        whole: { ...base, object: 'chat.completion', choices: [{ index: 0, message, finish_reason }], usage },
      };
    },
  },

  gemini: {
    path: /:(streamG|g)enerateContent$/,
    read(body) {
      const parts = body.contents.flatMap((c) => c.parts.map((part) => ({ role: c.role, ...part })));
      // Calls may have no ids: the n-th answer is to the n-th call.
      return {
        system: words(body.systemInstruction?.parts),
        first: parts.filter((p) => p.role === 'user' && p.text).map((p) => p.text).join('\n'),
        tools: (body.tools ?? []).flatMap((t) => t.functionDeclarations ?? []).map((f) => ({ name: f.name, description: f.description, schema: f.parametersJsonSchema ?? f.parameters })),
        calls: parts.filter((p) => p.functionCall).map(({ functionCall: c }, id) => ({ id, name: c.name, args: c.args })),
        answers: parts.filter((p) => p.functionResponse).map(({ functionResponse: r }, id) => ({ id, text: Object.entries(r.response).map(([key, value]) => (key === 'output' ? value : `${key}: ${value}`)).join('\n') })),
      };
    },
    write(action, id, model) {
      const part = action.tool !== undefined ? { functionCall: { name: action.tool, args: action.args } } : { text: action.text };
      const whole = {
        candidates: [{ index: 0, content: { role: 'model', parts: [part] }, finishReason: 'STOP' }],
        usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 }, modelVersion: model,
      };
      return { events: [whole], whole };
    },
  },
};

// act makes of what the script wants what the application understands: the tool
// by the application's name. An application that keeps tools back until they are
// searched for is asked for it first.
function act(seen, action) {
  if (action.text !== undefined) return action;
  const tool = seen.tools.find((t) => own(t.name) === action.tool);
  if (tool && !tool.deferred) return { ...action, tool: tool.name, namespace: tool.namespace, bare: tool.bare };
  const search = seen.tools.find((t) => /^tool_?search$/i.test(t.name));
  const searches = seen.calls.filter((c) => c.name === search?.name && c.args.query?.endsWith(action.tool)).length;
  if (search && searches < 2) return { tool: search.name, args: { query: 'select:' + seen.prefix + action.tool, max_results: 5 } };
  return { text: `There is no tool ${action.tool}.` };
}

// startModel listens on loopback. play(script) makes it the script of all
// requests that bring tools, and returns the record: { seen, calls, unknown }.
export async function startModel(prefix) {
  let script = () => ({ text: 'Nothing to do.' });
  let record = { seen: [], asked: [], unknown: [] };
  let n = 0;
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://model');
    let raw = '';
    for await (const chunk of request) raw += chunk;
    const protocol = Object.values(protocols).find((p) => p.path.test(pathname));
    if (request.method !== 'POST' || !protocol) {
      if (request.method === 'POST' && !/count_?tokens$/i.test(pathname)) record.unknown.push(`${request.method} ${pathname}`);
      response.writeHead(/count_?tokens$/i.test(pathname) ? 200 : 404, { 'content-type': 'application/json' });
      response.end('{"input_tokens": 1, "totalTokens": 1}');
      return;
    }
    try {
      const body = JSON.parse(raw);
      const seen = { ...protocol.read(body), prefix };
      seen.results = results(seen.calls, seen.answers);
      let action = { text: 'ok' }; // a title, a summary: not the conversation
      if (seen.tools.length > 0) {
        record.seen.push(seen);
        action = act(seen, await script(seen));
        if (own(action.tool)) record.asked.push(own(action.tool));
      }
      const { events, whole } = protocol.write(action, `call_${++n}`, body.model ?? 'scripted');
      const stream = body.stream || /:streamGenerateContent$/.test(pathname);
      response.writeHead(200, { 'content-type': stream ? 'text/event-stream' : 'application/json' });
      if (!stream) return response.end(JSON.stringify(whole));
      for (const event of events) {
        if (event.type) response.write(`event: ${event.type}\n`);
        response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
      }
      response.end();
    } catch (error) {
      record.unknown.push(`${pathname}: ${error.stack}`);
      response.writeHead(500).end('{}');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    play(next) {
      script = next;
      record = { seen: [], asked: [], unknown: [] };
      return record;
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
