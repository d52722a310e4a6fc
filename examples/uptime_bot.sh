#!/bin/sh
# A bot in shell: answers "uptime" with how long the machine runs, to those who are named.
# Needs `waxwing` and `jq`.
#
#     waxwing register bot@example.org --relay 'https://relay.example.org/#sha256/…'
#     sh examples/uptime_bot.sh admin@example.org …
#
# On a server without a keyring, give `register` a passphrase in WAXWING_PASSPHRASE (and later the
# bot, too), or keep the key in a file that nobody else can copy: WAXWING_KEY_STORE=file.
set -eu
waxwing=${WAXWING:-waxwing}

# One line for each message: conversation, sender, text. What is not verified is nobody's.
messages() {
    "$waxwing" listen --json | jq --unbuffered -r '
        select(.type == "message" and .from_verified) | [.conversation, .from, .text] | @tsv'
}

messages | while IFS="$(printf '\t')" read -r conversation from text; do
    case " $* " in
    *" $from "*) ;;
    *) continue ;;
    esac
    case $text in
    uptime) uptime ;;
    *) echo "I know one word: uptime" ;;
    esac | "$waxwing" send "$conversation"
done
