// The job through the TypeScript SDK 2.x. Usage: node sdk2.mjs MODE OUTPUT_DIR COMMAND [ARG...]
// MODE is how it finds the revision: legacy (initialize), auto (server/discover,
// then initialize if need be), or a revision that it insists on.
import { pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { job } from './job.mjs';
import { connect, leave, must } from './report.mjs';

const [mode, outputDir, command, ...args] = process.argv.slice(2);
const legacy = mode === 'legacy';
const updated = [];
const errors = [];
const client = new Client({ name: 'sdk2', version: '1' }, {
  capabilities: { roots: {} },
  enforceStrictCapabilities: true,
  versionNegotiation: { mode: ['legacy', 'auto'].includes(mode) ? mode : { pin: mode } },
});
client.onerror = (error) => errors.push(error);
client.setRequestHandler('roots/list', () => ({ roots: [{ uri: pathToFileURL(outputDir).href }] }));
client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updated.push(params.uri));
await connect(async () => {
  await client.connect(new StdioClientTransport({ command, args, stderr: 'inherit' }));
  must(client.getProtocolEra() === (legacy ? 'legacy' : 'modern'), client.getProtocolEra());
});
await job({
  client, updated, errors, outputDir, legacy,
  call: (params, options) => client.callTool(params, options),
  follow: async (uri) => {
    if (legacy) {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    }
    const stream = await client.listen({ resourceSubscriptions: [uri] });
    return () => stream.close();
  },
});
leave();
