#!/bin/sh
# Succeeds when Redis answers a client that knows the password, and has loaded its data.
set -eu
REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli ping | grep -q '^PONG$'
