package config

// help is the text of --help.
const help = `pixazo-mcp: an MCP server over stdio that makes HeyGen Video Agent videos
through the Pixazo gateway.

Usage: pixazo-mcp [COMMAND] [flags]

Commands:
  serve             Speak MCP over stdin and stdout. This is the default.
  wait [ID ...]     Wait until the videos with these request_ids are done, or
                    all that are pending. Status 0: all completed; 1: one
                    failed, is uncertain or unknown; 3: timed out. --save saves
                    them, --timeout=DURATION gives up, --json prints one JSON
                    object a line.
  list              List the videos of this computer. --json likewise.
  keep --stop       End the processes that watch videos, after what they send.
  demo              Make one video in the terminal, in the sandbox. With --live
                    use the gateway, which spends credits. --prompt=TEXT says
                    what the video shows.
  doctor            Check settings, key, gateway, folders, journal and clients'
                    configurations. Status 1: problems were found. --json prints
                    one JSON object.
  install CLIENT    Add this program, with the settings flags given here, to the
                    configuration of a client, and store the key. --sandbox adds
                    pixazo-sandbox, which needs no key. --print shows what would
                    be written, and writes nothing.
  uninstall CLIENT  Take it out again. The key and the videos stay.

Clients: claude-desktop, claude-code, cursor, vscode; for windsurf, zed, codex,
gemini and goose, install prints what to put where.

Settings. Each flag is also read from a variable: --max-wait from
PIXAZO_MAX_WAIT, and so on. Flags override environment variables. A value that
is empty or starts with "${" counts as unset. The key itself is never a flag:
set PIXAZO_API_KEY, or write it to the key file.

  --api-key-file=FILE         holds the key on its only line (~/.pixazo/api-key)
  --gateway-url=URL           https, or http to this computer
                              (https://gateway.pixazo.ai)
  --sandbox                   a built-in emulator: no key, no cost, sample clips
  --sandbox-duration=DURATION of a video in the sandbox, 1ms to 1h (8s)
  --state-dir=DIR             directory of the journal; servers with the same
                              directory share it
  --output-dir=DIR            where videos are saved (~/Videos/Pixazo, on macOS
                              ~/Movies/Pixazo)
  --auto-save                 save finished videos there without being asked
                              (true)
  --keeper                    submit and watch in a process of its own, which
                              outlives the client (true)
  --notify=WHEN               desktop notices: true, false, or where there is a
                              desktop (auto)
  --max-download=SIZE         the largest video that is saved, 1B to 1TB (2GB)
  --files-dir=DIR             from which local files may be attached; may be
                              repeated, the variable is a list like PATH
  --files-from-roots          attach from the client's roots, too
  --max-wait=DURATION         the longest wait_for_video call, 1s to 10m (50s)
  --max-videos-per-hour=N     over all servers that share the state directory;
                              0 for no limit (20)
  --max-videos-per-day=N      likewise, for 24 hours (50)
  --files-format=FORMAT       attachments as strings, or as the objects of
                              HeyGen's own API (strings)
  --webhook-url=URL           https address that the gateway reports videos to
  --webhook-mode=MODE         one report at the end, or one at each step with
                              sync (terminal)
  --media-origins=URLS        further https origins of videos, for the player
  --log-level=LEVEL           debug, info, warn or error (info)
  --log-file=FILE             where the log is appended, instead of stderr

Other flags: -h, --help and --version.

Examples:
  pixazo-mcp install claude-desktop --files-dir ~/Documents
  pixazo-mcp uninstall cursor --print
  pixazo-mcp doctor --json
  pixazo-mcp demo --prompt "A 30-second tour of the water cycle"
  pixazo-mcp --sandbox --output-dir ~/Videos --log-level debug
`
