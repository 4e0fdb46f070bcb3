// The job through the TypeScript SDK 2.x. Usage: node sdk2.mjs MODE OUTPUT_DIR SERVER...
// (place of report.mjs). MODE is how it finds the revision: legacy (initialize),
// auto (server/discover, then initialize if need be), or a revision that it
// insists on.
import { pathToFileURL } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { job } from './job.mjs';
import { connect, headers, leave, must, place } from './report.mjs';

const [mode, ...behind] = process.argv.slice(2);
const { outputDir, url, token, otherToken, command, args } = place(behind);
const legacy = mode === 'legacy';

async function open(token) {
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
  const transport = url ? new StreamableHTTPClientTransport(url, { requestInit: { headers: headers(token) } }) : new StdioClientTransport({ command, args, stderr: 'inherit' });
  await client.connect(transport);
  must(client.getProtocolEra() === (legacy ? 'legacy' : 'modern'), client.getProtocolEra());
  return {
    client, updated, errors,
    call: (params, options) => client.callTool(params, options),
    follow: async (uri) => {
      if (legacy) {
        await client.subscribeResource({ uri });
        return () => client.unsubscribeResource({ uri });
      }
      const stream = await client.listen({ resourceSubscriptions: [uri] });
      return () => stream.close();
    },
    async close() {
      await transport.terminateSession?.();
      await client.close();
    },
  };
}

let opened;
await connect(async () => (opened = await open(token)));
await job({ ...opened, outputDir, legacy, team: url && { users: otherToken !== undefined, open: () => open(otherToken) } });
leave();
