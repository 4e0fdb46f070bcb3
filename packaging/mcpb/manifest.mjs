// Writes the manifest of one platform's bundle, with the version that is
// packed, examples, and the links of a release, to stdout. The environment is
// that of ../release.mjs. Usage: node manifest.mjs PLATFORM VERSION < manifest.json
import { readFileSync } from "node:fs";
import { examples, links } from "../release.mjs";

const [platform, version] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(0, "utf8"));
if (!manifest.compatibility.platforms.includes(platform)) throw new Error(`no platform of the manifest: ${platform}`);

const { mcp_config: config } = manifest.server;
config.command = config.platform_overrides[platform]?.command ?? config.command;
delete config.platform_overrides;
manifest.server.entry_point = config.command.replace("${__dirname}/", "");
manifest.compatibility.platforms = [platform];
manifest.version = version;
manifest.long_description += `\n\nTo begin with, say one of these:\n\n${examples.map((e) => `- *${e}*\n`).join("")}`;
Object.assign(manifest, links);
console.log(JSON.stringify(manifest, null, 2));
