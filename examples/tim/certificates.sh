#!/bin/sh
# Makes the certificates of this example in the folder certificates/, each only where it is not there yet.
#
#   ca.pem, ca.key              Tollgate's own authority, for what its homeserver asks of others
#   internet.crt, internet.key  in the place of the authorities that sign for servers on the internet
#   server.crt, server.key      signed by that, for localhost and 127.0.0.1
#
# TOLLGATE can name the program, by its whole path; otherwise it is built.
set -eu
umask 077
cd "$(dirname "$0")/certificates"

if [ ! -e ca.pem ]; then
    if [ -n "${TOLLGATE:-}" ]; then
        "$TOLLGATE" ca init --ca ca.pem --key ca.key
    else
        cargo run --quiet --package tollgate -- ca init --ca ca.pem --key ca.key
    fi
fi

if [ ! -e internet.crt ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out internet.key
    openssl req -new -x509 -days 3650 -config ca.conf -subj "/CN=internet of the example" -key internet.key -out internet.crt
fi
if [ ! -e server.crt ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out server.key
    openssl req -new -config ca.conf -subj "/CN=localhost" -key server.key -out server.csr
    openssl x509 -req -days 365 -in server.csr -CA internet.crt -CAkey internet.key -CAcreateserial \
        -extfile ca.conf -extensions server -out server.crt
    rm server.csr
fi
