// The job through the TypeScript SDK 1.x. Usage: node sdk1.mjs OUTPUT_DIR COMMAND [ARG...]
import { pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ListRootsRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { job } from './job.mjs';
import { connect, leave } from './report.mjs';

const [outputDir, command, ...args] = process.argv.slice(2);
const updated = [];
const errors = [];
const client = new Client({ name: 'sdk1', version: '1' }, { capabilities: { roots: {} }, enforceStrictCapabilities: true });
client.onerror = (error) => errors.push(error);
client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: pathToFileURL(outputDir).href }] }));
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updated.push(params.uri));
await connect(() => client.connect(new StdioClientTransport({ command, args, stderr: 'inherit' })));
await job({
  client, updated, errors, outputDir, legacy: true,
  call: (params, options) => client.callTool(params, undefined, options),
  follow: async (uri) => {
    await client.subscribeResource({ uri });
    return () => client.unsubscribeResource({ uri });
  },
});
leave();
