#!/bin/sh
# Starts Valkey as a cache with two users: the shop, and monitord, who may look and nothing else.
set -eu
exec valkey-server \
    --save "" \
    --maxmemory 64mb \
    --maxmemory-policy allkeys-lru \
    --user default off \
    --user shop on ">$SHOP_PASSWORD" "~*" "&*" +@all -@dangerous +info \
    --user monitord on ">$WATCH_PASSWORD" resetkeys resetchannels -@all +ping +info "+client|setname" \
    "$@"
