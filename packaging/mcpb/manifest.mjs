// Writes the manifest of one platform's bundle, with the version that is
// packed, to stdout. Usage: node manifest.mjs PLATFORM VERSION < manifest.json
import { readFileSync } from "node:fs";

const [platform, version] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(0, "utf8"));
if (!manifest.compatibility.platforms.includes(platform)) throw new Error(`no platform of the manifest: ${platform}`);

const { mcp_config: config } = manifest.server;
config.command = config.platform_overrides[platform]?.command ?? config.command;
delete config.platform_overrides;
manifest.server.entry_point = config.command.replace("${__dirname}/", "");
manifest.compatibility.platforms = [platform];
manifest.version = version;
console.log(JSON.stringify(manifest, null, 2));
