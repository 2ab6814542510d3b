#!/bin/sh
# What a session runs, in the host whose address was asked: the third word says which.
set -- $SSH_CONNECTION
exec sudo -n -- /usr/local/lib/fan-out/enter.sh "$3" "$SSH_ORIGINAL_COMMAND"
