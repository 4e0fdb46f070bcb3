// The job through the TypeScript SDK 1.x. Usage: node sdk1.mjs OUTPUT_DIR SERVER...
// (place of report.mjs)
import { pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ListRootsRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { job } from './job.mjs';
import { connect, headers, leave, place } from './report.mjs';

const { outputDir, url, token, otherToken, command, args } = place(process.argv.slice(2));

async function open(token) {
  const updated = [];
  const errors = [];
  const client = new Client({ name: 'sdk1', version: '1' }, { capabilities: { roots: {} }, enforceStrictCapabilities: true });
  client.onerror = (error) => errors.push(error);
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: pathToFileURL(outputDir).href }] }));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updated.push(params.uri));
  const transport = url ? new StreamableHTTPClientTransport(url, { requestInit: { headers: headers(token) } }) : new StdioClientTransport({ command, args, stderr: 'inherit' });
  await client.connect(transport);
  return {
    client, updated, errors,
    call: (params, options) => client.callTool(params, undefined, options),
    follow: async (uri) => {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
    async close() {
      await transport.terminateSession?.();
      await client.close();
    },
  };
}

let opened;
await connect(async () => (opened = await open(token)));
await job({ ...opened, outputDir, legacy: true, team: url && { users: otherToken !== undefined, open: () => open(otherToken) } });
leave();
