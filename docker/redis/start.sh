#!/bin/sh
# Redis with the password of a secret file, which appears on no command line.
set -eu
umask 077
{
  cat /etc/redis/redis.conf
  printf 'requirepass %s\n' "$(cat /run/secrets/redis_password)"
} >/tmp/redis.conf
exec redis-server /tmp/redis.conf
