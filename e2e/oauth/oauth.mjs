// A user of the TypeScript SDKs signs in at an authorization server that others
// wrote, and makes a video: 401, metadata, registration, PKCE, call.
// Usage: node oauth.mjs SERVER TMP: the built server, and a folder for everything.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import * as sdk2 from '@modelcontextprotocol/client';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Provider } from 'oidc-provider';
import { freePort } from '../port.mjs';

const [program, tmp] = process.argv.slice(2);
let passed = 0;
let failed = 0;
function must(ok, what, came) {
  if (ok) passed++;
  else {
    failed++;
    console.log(`FAIL  ${what}: ${JSON.stringify(came)}`);
  }
}

const origin = `http://127.0.0.1:${await freePort()}`;
const url = `${origin}/mcp`;
const issuer = `http://127.0.0.1:${await freePort()}`;
const callback = 'http://127.0.0.1:1/callback'; // nobody listens: the code is taken from the redirect
const asked = []; // of the authorization server: method and path

// The authorization server, which gives a token to whatever resource is asked for.
const provider = new Provider(issuer, {
  clientDefaults: { token_endpoint_auth_method: 'none' },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: 'videos:read videos:create', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'videos:read', 'videos:create'],
});
provider.use((ctx, next) => {
  asked.push(`${ctx.method} ${ctx.path}`);
  return next();
});
const authorizationServer = provider.listen(Number(new URL(issuer).port), '127.0.0.1');

const server = spawn(program, [
  'http', '--sandbox', '--sandbox-duration=1s', `--address=${new URL(url).host}`, `--public-url=${url}`, `--oauth-issuer=${issuer}`, '--oauth-scopes=videos:read,videos:create',
  `--state-dir=${join(tmp, 'state')}`, '--metrics-address=none', '--max-calls-per-minute=0', '--log-level=debug',
], { stdio: ['ignore', 'inherit', 'pipe'], env: { HOME: tmp, PATH: process.env.PATH } });
let log = '';
server.stderr.on('data', (chunk) => (log += chunk));
for (let i = 0; ; i++) {
  const ready = await fetch(`${origin}/readyz`).catch(() => undefined);
  if (ready?.ok) break;
  if (i > 600) throw new Error(`the server does not start: ${log}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}

// signIn walks through the pages of the authorization server as user, and
// returns the address that it leads back to.
async function signIn(address, user) {
  const jar = new Map();
  let form;
  for (let i = 0; i < 20; i++) {
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') };
    const resp = await fetch(address, form
      ? { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' }
      : { headers, redirect: 'manual' });
    for (const line of resp.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      value ? jar.set(name, value) : jar.delete(name);
    }
    const page = await resp.text();
    form = undefined;
    const next = resp.headers.get('location');
    if (next?.startsWith(callback)) return new URL(next);
    if (next) address = new URL(next, address).href;
    else if (page.includes('value="login"')) form = { prompt: 'login', login: user, password: 'x' };
    else if (page.includes('value="consent"')) form = { prompt: 'consent' };
    else throw new Error(`an unknown page: ${resp.status} ${page.slice(0, 500)}`);
  }
  throw new Error('signing in does not end');
}

// Account is what an SDK wants to know of, and keep for, its user.
class Account {
  constructor(user, scope) {
    this.user = user;
    this.scope = scope;
  }
  get redirectUrl() { return callback; }
  get clientMetadata() {
    return {
      client_name: 'test', redirect_uris: [callback], grant_types: ['authorization_code'], response_types: ['code'], token_endpoint_auth_method: 'none',
      ...(this.scope ? { scope: this.scope } : {}),
    };
  }
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.token; }
  saveTokens(token) { this.token = token; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  saveDiscoveryState(state) { this.discovered = state; }
  discoveryState() { return this.discovered; }
  redirectToAuthorization(address) { this.page = address; }
}

// connect signs in where it must, and returns a connected client.
async function connect(sdk, user, scope) {
  const account = new Account(user, scope);
  for (;;) {
    const client = new sdk.Client({ name: 'oauth', version: '1' }, sdk.options);
    const transport = new sdk.Transport(new URL(url), { authProvider: account });
    try {
      await client.connect(transport);
      return { client, account };
    } catch (error) {
      if (!(error instanceof sdk.Unauthorized) || account.token) throw error;
    }
    const back = await signIn(account.page.href, user);
    await transport.finishAuth(sdk.whole ? back.searchParams : back.searchParams.get('code'));
  }
}

async function call(client, name, args) {
  const result = await client.callTool({ name, arguments: args });
  return { ...result, said: result.content.map(({ text }) => text).join('\n') };
}

// Without a token: what to do is said in the answer, to the letter.
const refused = await fetch(url, { method: 'POST', body: '{}' });
const where = `${origin}/.well-known/oauth-protected-resource/mcp`;
must(refused.status === 401 && refused.headers.get('www-authenticate') === `Bearer resource_metadata="${where}", scope="videos:read videos:create"`,
  'the answer without a token', [refused.status, refused.headers.get('www-authenticate')]);
for (const address of [where, `${origin}/.well-known/oauth-protected-resource`]) {
  const metadata = await (await fetch(address)).json();
  must(metadata.resource === url && metadata.authorization_servers[0] === issuer && !metadata.scopes_supported.includes('offline_access'), address, metadata);
}

const sdks = {
  'TypeScript SDK 1': { Client: Client1, Transport: StreamableHTTPClientTransport, Unauthorized: UnauthorizedError },
  'TypeScript SDK 2, legacy': { Client: sdk2.Client, Transport: sdk2.StreamableHTTPClientTransport, Unauthorized: sdk2.UnauthorizedError, options: { versionNegotiation: { mode: 'legacy' } }, whole: true },
  'TypeScript SDK 2, modern': { Client: sdk2.Client, Transport: sdk2.StreamableHTTPClientTransport, Unauthorized: sdk2.UnauthorizedError, options: { versionNegotiation: { mode: { pin: '2026-07-28' } } }, whole: true },
};
const tokens = [];
for (const [name, sdk] of Object.entries(sdks)) {
  asked.length = 0;
  const { client, account } = await connect(sdk, 'alice');
  tokens.push(account.token.access_token);
  must(asked.includes('POST /reg') && asked.includes('POST /token'), `${name}: registration and token`, asked);
  const page = account.page.searchParams;
  must(page.get('code_challenge_method') === 'S256' && page.get('resource') === url && page.get('scope') === 'videos:read videos:create', `${name}: PKCE, resource and scope`, [...page]);
  const made = await call(client, 'generate_video', { prompt: `A tour of the harbour, with ${name}` });
  const id = made.structuredContent?.request_id;
  must(!made.isError && id, `${name}: generate_video`, made.said);
  const done = await call(client, 'wait_for_video', { request_id: id });
  must(done.structuredContent?.status === 'COMPLETED', `${name}: wait_for_video`, done.said);

  const bob = await connect(sdk, 'bob');
  tokens.push(bob.account.token.access_token);
  const foreign = await call(bob.client, 'get_status', { request_id: id });
  const unknown = await call(bob.client, 'get_status', { request_id: id.replace(/..$/, (end) => (end === '00' ? '11' : '00')) });
  must(foreign.isError && foreign.said.startsWith('not_found') && foreign.said.replaceAll(/heygen-video-agent_[\w-]+/g, 'ID') === unknown.said.replaceAll(/heygen-video-agent_[\w-]+/g, 'ID'),
    `${name}: another user's video`, [foreign.said, unknown.said]);
  await client.close();
  await bob.client.close();
}

// A token for another server, and one that may only read.
async function tokenFor(resource, scope) {
  const registered = await (await fetch(`${issuer}/reg`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ redirect_uris: [callback], token_endpoint_auth_method: 'none', response_types: ['code'], grant_types: ['authorization_code'] }),
  })).json();
  const verifier = 'v'.repeat(43);
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = new URLSearchParams({
    client_id: registered.client_id, response_type: 'code', redirect_uri: callback, scope, resource, code_challenge: challenge, code_challenge_method: 'S256',
  });
  const back = await signIn(`${issuer}/auth?${query}`, 'carol');
  const answer = await (await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', client_id: registered.client_id, code: back.searchParams.get('code'), redirect_uri: callback, code_verifier: verifier, resource }),
  })).json();
  tokens.push(answer.access_token);
  return answer.access_token;
}
function post(token, body) {
  return fetch(url, {
    method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...body }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25' },
  });
}
const list = { method: 'tools/call', params: { name: 'list_videos', arguments: {} } };
const other = await post(await tokenFor('https://other.example/mcp', 'videos:read'), list);
must(other.status === 401 && other.headers.get('www-authenticate').includes('error="invalid_token"'), 'a token for another server', [other.status, other.headers.get('www-authenticate')]);
const reader = await tokenFor(url, 'videos:read');
const read = await post(reader, list);
must(read.status === 200, 'a token that may read', [read.status, await read.text()]);
const create = await post(reader, { method: 'tools/call', params: { name: 'generate_video', arguments: { prompt: 'x' } } });
must(create.status === 403 && create.headers.get('www-authenticate') === `Bearer error="insufficient_scope", resource_metadata="${where}", scope="videos:read videos:create"`,
  'a token that may only read', [create.status, create.headers.get('www-authenticate')]);

must(tokens.length === 8 && tokens.every((token) => token && !log.includes(token.split('.')[2])), 'no token is in the log', tokens.length);

server.kill('SIGTERM');
await once(server, 'exit');
authorizationServer.close();
authorizationServer.closeAllConnections();
if (failed) console.log(log);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
