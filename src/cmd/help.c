/* The help texts; the configuration's flags are added from its table. */
#include "cmd/help.h"

const char dm_help_main[] =
    "dormouse: a self-hosted realtime server\n"
    "\n"
    "usage: dormouse <command> [flags]\n"
    "\n"
    "  serve         run the server\n"
    "  check-config  check the configuration and show where each value comes from\n"
    "  token         mint a user token\n"
    "  connect       open a WebSocket as a user and print what arrives\n"
    "  publish       publish one envelope to a user and print the acks\n"
    "  backup        copy the database to a file, while the server serves\n"
    "  check         look for damage in the database\n"
    "  inspect       count what the database and the running server hold\n"
    "\n"
    "  --help        this text; `dormouse <command> --help` for a command's\n"
    "  --version     the version\n"
    "\n"
    "Try it:\n"
    "  export DORMOUSE_JWT_SECRET=$(head -c 32 /dev/urandom | base64)\n"
    "  export DORMOUSE_API_KEYS=me=$(head -c 16 /dev/urandom | base64)\n"
    "  dormouse serve &\n"
    "  dormouse connect --user alice &\n"
    "  dormouse publish --user alice --payload '{\"hello\":\"world\"}'\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 misused.\n";

const char dm_help_serve[] =
    "usage: dormouse serve [--config FILE] [flags]\n"
    "\n"
    "Runs the server until SIGTERM or SIGINT. Every key can be set in the YAML file, as a "
    "variable\n"
    "(DORMOUSE_HIBERNATE_AFTER=10s; lists with commas) or as a flag; flags go over variables over\n"
    "the file. Secrets have no flag: set them in the file, in a variable, or in a file of their\n"
    "own (jwt_secret_file, api_keys_file, hook_secret_file: one a line).\n"
    "\n"
    "  --config FILE\n"
    "        The YAML file; else the variable DORMOUSE_CONFIG names it\n";

const char dm_help_check_config[] =
    "usage: dormouse check-config [--config FILE] [flags as for serve] [--markdown]\n"
    "\n"
    "Checks file, variables and flags as `dormouse serve` would, and prints each value with its\n"
    "origin. Secrets are shown as (set). With --markdown: the table of all keys.\n"
    "\n"
    "  dormouse check-config --config dormouse.yaml\n";

const char dm_help_token[] =
    "usage: dormouse token --user ID [--scope \"publish admin\"] [--ttl 1h] [--config FILE]\n"
    "\n"
    "Prints a user token (JWT, HS256), signed with the first jwt_secret of the configuration.\n"
    "\n"
    "  --user ID     whom the token is for\n"
    "  --scope WORDS what it may do besides connecting: publish, admin\n"
    "  --ttl TIME    how long it is good for (1h); 0: for ever\n"
    "\n"
    "  dormouse token --user alice --ttl 10m --config dormouse.yaml\n";

const char dm_help_connect[] =
    "usage: dormouse connect --user ID [flags] [--config FILE]\n"
    "\n"
    "Opens a WebSocket, subscribes, prints each envelope as a line on stdout and acknowledges it.\n"
    "Runs until the server closes, or until it is stopped.\n"
    "\n"
    "  --user ID       mint a token for this user with the configured jwt_secret\n"
    "  --token TOKEN   or bring one\n"
    "  --url URL       ws://host:port/, wss:// or unix:/path (where this configuration would "
    "listen;\n"
    "                  SSL_CERT_FILE names a certificate to trust besides the system's)\n"
    "  --filter F      what to subscribe to, type=T or type=T,key=value,…; may be repeated\n"
    "                  (type=message)\n"
    "  --ack JSON      the result to acknowledge with (null)\n"
    "  --count N       stop after N envelopes\n"
    "\n"
    "  dormouse connect --user alice --filter type=order,shop=7 --ack '{\"seen\":true}'\n";

const char dm_help_publish[] =
    "usage: dormouse publish --user ID [flags] [--config FILE]\n"
    "\n"
    "Publishes one envelope and prints the answer, with the results of the clients' acks.\n"
    "\n"
    "  --user ID       to whom\n"
    "  --type TYPE     the envelope's type (message)\n"
    "  --payload JSON  its payload (none)\n"
    "  --timeout TIME  how long to wait for acks (5s)\n"
    "  --key NAME      the configured API key to use (the first one)\n"
    "  --token TOKEN   or a token with the scope publish\n"
    "  --url URL       http://host:port, https:// or unix:/path (where this configuration would\n"
    "                  listen; SSL_CERT_FILE names a certificate to trust besides the system's)\n"
    "\n"
    "Without an API key in the configuration a token is minted with its jwt_secret.\n"
    "\n"
    "  dormouse publish --user alice --type order --payload '{\"shop\":\"7\"}'\n";

const char dm_help_backup[] =
    "usage: dormouse backup FILE [--database FILE] [--config FILE] [--max-log SIZE]\n"
    "\n"
    "Copies the database to FILE, all of it as it is at one moment, whether a server has it open\n"
    "or not. FILE must not be there; it appears when it is whole and on the disk, for the owner\n"
    "alone (mode 0600). Until then it is FILE.partial.\n"
    "\n"
    "While pages are copied the server's write-ahead log cannot start over: it grows by what is\n"
    "written meanwhile, and shrinks again afterwards.\n"
    "\n"
    "  --max-log SIZE  give the copy up where the log grows beyond this (1GiB)\n"
    "\n"
    "To restore: stop the server, remove the database with its -wal and -shm, copy FILE there.\n"
    "\n"
    "  dormouse backup /backup/monday.db --config dormouse.yaml &&\n"
    "  dormouse check --database /backup/monday.db\n";

const char dm_help_check[] =
    "usage: dormouse check [--database FILE] [--config FILE]\n"
    "\n"
    "Reads the whole database, whether a server has it open or not: its pages and indices, "
    "whether\n"
    "its tables are those of this version, and whether its rows hold together. Prints a line for\n"
    "each thing that is wrong. While a server writes, its log grows for as long as this takes; of\n"
    "a large database check a backup instead.\n"
    "\n"
    "Exit codes: 0 sound, 1 something is wrong or cannot be read, 2 misused.\n"
    "\n"
    "  dormouse check --config dormouse.yaml\n";

const char dm_help_inspect[] =
    "usage: dormouse inspect [--json] [flags] [--config FILE]\n"
    "\n"
    "Counts what the database holds, and asks the server, if one answers, how many sessions are\n"
    "open and how many users are awake and asleep.\n"
    "\n"
    "  --json          one line of JSON\n"
    "  --key NAME      the configured API key to ask with (the first one)\n"
    "  --token TOKEN   or a token with the scope admin\n"
    "  --url URL       http://host:port, https:// or unix:/path (where this configuration would\n"
    "                  listen; SSL_CERT_FILE names a certificate to trust besides the system's)\n"
    "\n"
    "Without an API key in the configuration a token is minted with its jwt_secret; without "
    "either\n"
    "it asks as anyone may on the server's machine.\n"
    "\n"
    "  dormouse inspect --config dormouse.yaml\n";
