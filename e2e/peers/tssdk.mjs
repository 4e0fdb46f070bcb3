// A bare server of the official TypeScript SDK: as many tools as pixazo-mcp,
// and nothing behind them.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "tssdk", version: "0" });
for (const name of ["download_video", "generate_video", "get_status", "list_videos", "wait_for_video"]) {
  server.registerTool(name, { inputSchema: { request_id: z.string() } }, async () => ({ content: [{ type: "text", text: "done" }] }));
}
await server.connect(new StdioServerTransport());
