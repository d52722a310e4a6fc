#!/usr/bin/env python3
"""A bot in Python: says again what it is told. Needs nothing but Python and `waxwing`.

    waxwing register bot@example.org --relay 'https://relay.example.org/#sha256/…'
    python3 examples/echo_bot.py

On a server without a keyring, give `register` a passphrase in WAXWING_PASSPHRASE (and later the bot, too),
or keep the key in a file that nobody else can copy: WAXWING_KEY_STORE=file.
"""
import itertools, json, os, subprocess

waxwing = subprocess.Popen([os.environ.get("WAXWING", "waxwing"), "rpc"], text=True,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
numbers, waiting = itertools.count(1), []

def call(method, **params):
    number = next(numbers)
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    print(json.dumps(request), file=waxwing.stdin, flush=True)
    for said in map(json.loads, waxwing.stdout):
        if said.get("id") != number:
            waiting.append(said)
        elif "error" in said:
            raise RuntimeError(said["error"]["message"])
        else:
            return said["result"]

def notices():
    while True:
        yield (waiting.pop(0) if waiting else json.loads(next(waxwing.stdout))).get("params", {})

call("subscribe")
for notice in notices():
    # Only what comes from somebody whose address the key log says is theirs.
    if notice.get("type") == "message" and notice["direction"] == "in" and notice["from_verified"]:
        call("send", to=notice["conversation"], text=notice["text"], reply_to=notice["id"])
        call("mark_read", conversation=notice["conversation"], up_to=notice["id"])
