#!/bin/sh
# Makes the password of the Prefect server, once: sh deployments/password.sh FILE
# FILE holds settings, one NAME=VALUE a line. The server reads the first of the two, workers and commands the second.
set -eu
umask 077
touch "$1"
chmod 600 "$1"
if ! grep -q '^PREFECT_SERVER_API_AUTH_STRING=' "$1"; then
    password="oresight:$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    printf '\nPREFECT_SERVER_API_AUTH_STRING=%s\nPREFECT_API_AUTH_STRING=%s\n' "$password" "$password" >> "$1"
fi
