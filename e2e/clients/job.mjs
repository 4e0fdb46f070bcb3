// The whole job on the sandbox, driven through a client of the TypeScript SDK.
// Both major versions have the same methods but for a few, which the caller
// brings along:
//
//   call(params, options)  calls a tool
//   follow(uri)            subscribes to a resource; ends with the promised function
//   updated                uris that were told of, in order
//   errors                 what the client complained about on its own
//   close()                ends the session, if there is one, and the client
//   team                   over HTTP: open() connects a second client, of another
//                          user if users is true; else both are everybody
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { check, fail, must, note } from './report.mjs';

const names = ['download_video', 'generate_video', 'get_status', 'list_videos', 'wait_for_video'];
const template = 'pixazo://videos/{request_id}';
const picture = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=';

// opened is what a signed link leads to, for whoever has it and nobody else.
async function opened(link) {
  const whole = await fetch(link);
  must(whole.status === 200 && whole.headers.get('content-type') === 'video/mp4', [whole.status, ...whole.headers]);
  const piece = await fetch(link, { headers: { Range: 'bytes=4-7' } });
  must(piece.status === 206 && await piece.text() === 'ftyp', [piece.status, ...piece.headers]);
  const forged = await fetch(link.replace(/.{4}$/, 'AAAA'));
  must(forged.status === 404, forged.status);
  return Buffer.from(await whole.arrayBuffer());
}

// apart looks whether a second client hears, sees and ends what is not its own.
async function apart({ client, legacy, tool, refused, updated, id, team }) {
  const { client: other, call, follow, updated: told, errors, close } = await team.open();
  const theirs = async (name, args, options) => {
    const { isError, content, structuredContent } = await call({ name, arguments: args }, options);
    return isError ? content[0].text : structuredContent;
  };
  const list = await theirs('list_videos', {});
  if (team.users) {
    must(list.videos.length === 0, list);
    const unknown = id.replace(/..$/, (end) => (end === '00' ? '11' : '00'));
    for (const name of ['get_status', 'wait_for_video', 'download_video']) {
      const [foreign, none] = [await theirs(name, { request_id: id }), await theirs(name, { request_id: unknown })];
      must(foreign.startsWith?.('not_found: ') && foreign.replaceAll(id, '') === none.replaceAll(unknown, ''), [name, foreign, none]);
    }
    const error = await refused(() => other.readResource({ uri: `pixazo://videos/${id}` }));
    must(error.code === (legacy ? -32002 : -32602), error);
    const { completion } = await other.complete({ ref: { type: 'ref/resource', uri: template }, argument: { name: 'request_id', value: '' } });
    must(completion.values.length === 0, completion);
    if (legacy) await refused(() => follow(`pixazo://videos/${id}`));
  } else {
    must(list.videos.some((v) => v.request_id === id), list);
  }
  // Both wait at once, each for its own video, and hear of it alone. What the
  // first cancels is in the name of its own calls, whatever their ids are.
  const before = updated.length;
  const [mine, its] = await Promise.all([tool('generate_video', { prompt: 'A presenter explains ebb.' }), theirs('generate_video', { prompt: 'A presenter explains flow.' })]);
  const end = await follow(`pixazo://videos/${its.request_id}`);
  const heard = [[], []];
  const waits = [tool('wait_for_video', { request_id: mine.request_id, timeout_seconds: 30 }, { onprogress: (p) => heard[0].push(p) }),
    theirs('wait_for_video', { request_id: its.request_id, timeout_seconds: 30 }, { onprogress: (p) => heard[1].push(p) })];
  for (let requestId = 0; legacy && requestId < 20; requestId++) await client.notification({ method: 'notifications/cancelled', params: { requestId } });
  const done = await Promise.all(waits);
  must(done.every((d, i) => d.status === 'COMPLETED' && d.request_id === [mine, its][i].request_id), done);
  must(heard.every((h) => h.length > 0), heard);
  for (let i = 0; told.length === 0 && i < 600; i++) await sleep(100);
  must(told.length > 0 && told.every((uri) => uri.endsWith(its.request_id)) && updated.length === before, [told, updated.slice(before)]);
  await end();
  await close();
  must(errors.length === 0, errors.map(String));
}

export async function job({ client, legacy, call, follow, updated, errors, close, outputDir, team }) {
  const tool = async (name, args, options) => {
    const result = await call({ name, arguments: args }, options);
    must(!result.isError, result);
    return result.structuredContent;
  };
  // refused is the message of a request's protocol error.
  const refused = async (request) => {
    let result;
    try {
      result = await request();
    } catch (error) {
      return error;
    }
    throw new Error(`no error: ${JSON.stringify(result)}`);
  };

  await check('it says who it is', () => {
    must(client.getServerVersion()?.name === 'pixazo-mcp', client.getServerVersion());
    must(client.getInstructions()?.includes('wait_for_video'), client.getInstructions());
  });
  await check('the tools are listed', async () => {
    const { tools } = await client.listTools();
    must(names.every((name) => tools.some((t) => t.name === name)), tools.map((t) => t.name));
  });
  const id = await check('generate_video answers with a request_id', async () => {
    const made = await tool('generate_video', { prompt: 'A presenter explains tides in 30 seconds.', orientation: 'portrait' });
    must(/^heygen-video-agent_/.test(made.request_id) && made.done === false, made);
    return made.request_id;
  });
  await check('the same request again is a duplicate', async () => {
    const made = await tool('generate_video', { prompt: 'A presenter explains tides in 30 seconds.', orientation: 'portrait' });
    must(made.duplicate === true && made.request_id === id, made);
  });
  await check('get_status knows it', async () => {
    const status = await tool('get_status', { request_id: id });
    must(status.request_id === id && status.status, status);
  });
  await check('wait_for_video brings the video, and progress before', async () => {
    const heard = [];
    const done = await tool('wait_for_video', { request_id: id, timeout_seconds: 30 }, { onprogress: (p) => heard.push(p) });
    must(done.status === 'COMPLETED' && done.done && done.video_urls?.length === 1, done);
    must(heard.length > 0 && heard.every((p, i) => p.message && (i === 0 || p.progress > heard[i - 1].progress)), heard);
  });
  await check('list_videos has it', async () => {
    const { videos } = await tool('list_videos', { limit: 5, status: 'completed' });
    must(videos.some((v) => v.request_id === id), videos);
  });
  await check('download_video saves it', async () => {
    const saved = await tool('download_video', { request_id: id, filename: 'tides.mp4' }, { onprogress() {} });
    must(team ? saved.saved_path === undefined : saved.saved_path.startsWith(outputDir + sep), saved);
    const file = team ? await opened(saved.saved_url) : readFileSync(saved.saved_path);
    must(file.toString('latin1', 4, 8) === 'ftyp' && createHash('sha256').update(file).digest('hex') === saved.sha256, saved);
  });
  if (team) {
    await check('a file is attached as a data URI, and none of the server', async () => {
      const made = await tool('generate_video', { prompt: 'A presenter explains the picture.', files: [picture] });
      must(/^heygen-video-agent_/.test(made.request_id), made);
      const result = await call({ name: 'generate_video', arguments: { prompt: 'A presenter explains the notes.', files: ['/etc/passwd'] } });
      must(result.isError && result.content[0].text.startsWith('file_refused: '), result);
    });
  } else {
    await check('a file below a root of the client is attached', async () => {
      writeFileSync(join(outputDir, 'notes.txt'), 'Tides come and go.');
      const made = await tool('generate_video', { prompt: 'A presenter explains the notes.', files: ['notes.txt'] });
      must(/^heygen-video-agent_/.test(made.request_id), made);
    });
  }
  await check('a wrong argument is an error result', async () => {
    const result = await call({ name: 'generate_video', arguments: { prompt: 'A presenter.', orientatoin: 'portrait' } });
    must(result.isError && result.content[0].text.startsWith('invalid_argument: '), result);
  });
  await check('a failed video is an error result', async () => {
    const { request_id } = await tool('generate_video', { prompt: 'This one fails. sandbox:failed' });
    const result = await call({ name: 'wait_for_video', arguments: { request_id } });
    must(result.isError && result.content[0].text.startsWith('video_failed: '), result);
  });
  await check('an unknown tool is a protocol error', async () => {
    const error = await refused(() => call({ name: 'no_such_tool', arguments: {} }));
    must(error.code === -32602, error);
  });

  await check('the resources are listed', async () => {
    const { resources } = await client.listResources();
    for (const uri of ['pixazo://guide/prompting', 'pixazo://videos']) must(resources.some((r) => r.uri === uri), resources);
    must(resources.some((r) => r.uri === `pixazo://videos/${id}`) === !team, resources);
  });
  await check('the resource template is listed', async () => {
    const { resourceTemplates } = await client.listResourceTemplates();
    must(resourceTemplates.some((t) => t.uriTemplate === template), resourceTemplates);
  });
  await check('the resources can be read', async () => {
    const guide = await client.readResource({ uri: 'pixazo://guide/prompting' });
    must(guide.contents[0].mimeType === 'text/markdown' && /^# /m.test(guide.contents[0].text), guide);
    const recent = await client.readResource({ uri: 'pixazo://videos' });
    must(JSON.parse(recent.contents[0].text).videos.some((v) => v.request_id === id), recent);
    const one = await client.readResource({ uri: `pixazo://videos/${id}` });
    must(JSON.parse(one.contents[0].text).status === 'COMPLETED', one);
  });
  await check('an unknown resource is a protocol error', async () => {
    const error = await refused(() => client.readResource({ uri: 'pixazo://no/such/thing' }));
    must(error.code === (legacy ? -32002 : -32602), error);
  });
  await check('a request_id is completed', async () => {
    const { completion } = await client.complete({ ref: { type: 'ref/resource', uri: template }, argument: { name: 'request_id', value: id.slice(0, -4) } });
    must(completion.values.includes(id), completion);
  });

  if (client.getServerCapabilities()?.prompts) {
    await check('the prompts are listed, and each can be had', async () => {
      const { prompts } = await client.listPrompts();
      must(prompts.length > 0, 'there is none');
      for (const { name, arguments: args = [] } of prompts) {
        const given = Object.fromEntries(args.filter((a) => a.required).map((a) => [a.name, a.name === 'request_id' ? id : 'tides']));
        const { messages } = await client.getPrompt({ name, arguments: given });
        must(messages.length > 0 && messages.every((m) => m.content.type !== 'text' || m.content.text), messages);
      }
    });
    await check('an unknown prompt is a protocol error', async () => {
      const error = await refused(() => client.getPrompt({ name: 'no_such_prompt' }));
      must(error.code === -32602, error);
    });
  } else {
    note('prompts', 'skipped: the server does not declare them');
  }

  await check('a subscription hears of the video', async () => {
    const { request_id } = await tool('generate_video', { prompt: 'A presenter explains currents.' });
    const uri = `pixazo://videos/${request_id}`;
    const end = await follow(uri);
    for (let i = 0; !updated.includes(uri) && i < 600; i++) await sleep(100);
    must(updated.includes(uri), updated);
    await end();
  });

  await check('a wait is cancelled, and the video goes on', async () => {
    const { request_id } = await tool('generate_video', { prompt: 'A presenter explains waves. sandbox:status-slow' });
    const stop = new AbortController();
    const waiting = refused(() => call({ name: 'wait_for_video', arguments: { request_id } }, { signal: stop.signal, onprogress() {} }));
    await sleep(300); // the first status takes 2 s there
    stop.abort();
    await waiting;
    const done = await tool('wait_for_video', { request_id, timeout_seconds: 30 });
    must(done.status === 'COMPLETED', done);
  });

  if (team) await check('a second client is apart', () => apart({ client, legacy, tool, refused, updated, id, team }));
  if (legacy) await check('it answers a ping', () => client.ping());
  await check('it ends', close);
  if (errors.length > 0) fail('the client has no complaint', errors.map(String).join('; '));
}
