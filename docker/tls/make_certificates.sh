#!/bin/sh
# Makes the certificates for gRPC over TLS: a CA, one for the server and one for clients.
#
#   make_certificates.sh FOLDER NAME...     for example: certificates millirank localhost 127.0.0.1
#
# NAMEs are the host names and IP addresses that clients reach the server by. What is there already
# stays: remove server.crt (or client.crt) and run it again to renew that certificate, with the
# same CA and key. Triton reads its files once, so a renewed one needs a restart (a rolling one in
# a cluster). Keep ca.key away from servers: it is needed for making certificates only.
set -eu
umask 077
[ "$#" -ge 2 ] || { echo "usage: $0 FOLDER NAME..." >&2; exit 2; }
folder=$1
shift
mkdir -p "$folder"
cd "$folder"

names=""
for name in "$@"; do
  case "$name" in
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  names="${names:+$names,}$kind:$name"
done

# sign NAME USE [SAN]: a key and a certificate signed by the CA, for a year.
sign() {
  [ -e "$1.key" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' \
    "$2" "${3:+subjectAltName=$3}" >"$1.ext"
  openssl req -new -key "$1.key" -subj "/CN=millirank $1" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -sha256 \
    -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  rm "$1.csr" "$1.ext"
}

if [ ! -e ca.crt ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -days 3650 -sha256 -subj "/CN=millirank CA" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -out ca.crt
fi
[ -e server.crt ] || sign server serverAuth "$names"
[ -e client.crt ] || sign client clientAuth
chmod 644 ca.crt server.crt client.crt
echo "ca.crt server.crt server.key client.crt client.key in $(pwd)"
