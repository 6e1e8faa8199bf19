#!/usr/bin/env bash
# Asks a lobby that runs everything its document says, and much that it does not, by schemathesis: once as nobody and once
# as an administrator who is signed in. `make api` builds the program and installs schemathesis under target/.
#
# usage: lobby/check-api.sh <mascaret> <schemathesis>
set -euo pipefail
mascaret=$1
schemathesis=$2
folder=$(mktemp -d)
http=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
lobby=
trap '[ -z "$lobby" ] || kill "$lobby"; rm -rf "$folder"' EXIT

cat >"$folder/lobby.toml" <<TOML
[lobby]
http = "$http"
link = "127.0.0.1:0"
sign_up = "open"
tries_per_address = 10000
tries_per_account = 1000
posts_per_account = 1000
[lobby.store]
sqlite = "$folder/lobby.db"
[operator]
listen = "127.0.0.1:0"
[certificates]
directory = "$folder/certs"
TOML
"$mascaret" certs init --dir "$folder/certs" >/dev/null
password=$("$mascaret" user add ada --role admin --settings "$folder/lobby.toml" | grep -oE '[a-z2-7]{32}' | head -1)
"$mascaret" lobby --settings "$folder/lobby.toml" >"$folder/log" 2>&1 &
lobby=$!
for _ in $(seq 100); do
	curl -fs "http://$http/api/openapi.json" >"$folder/openapi.json" && break
	sleep 0.1
done

# So that paths lead somewhere: a broadcast whose name is the one the examples of the document have.
signed_in=$(curl -fsi "http://$http/api/v1/session" -H "Origin: http://$http" -H 'Content-Type: application/json' \
	-d "{\"name\":\"ada\",\"password\":\"$password\"}")
cookie=$(grep -oiE 'mascaret_session=[a-z0-9]+' <<<"$signed_in" | head -1)
token=$(grep -oE '"token":"[^"]+"' <<<"$signed_in" | cut -d'"' -f4)
curl -fs "http://$http/api/v1/broadcasts" -H "Origin: http://$http" -H "Cookie: $cookie" -H "X-Mascaret-Token: $token" \
	-H 'Content-Type: application/json' -d '{"name":"tide"}' >/dev/null

checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance
ask() {
	"$schemathesis" run "$folder/openapi.json" --url "http://$http" --checks "$checks" --phases examples,coverage,fuzzing \
		--max-examples "${API_EXAMPLES:-50}" --seed 1 --request-timeout 10 -H "Origin: http://$http" "$@"
}
ask
# Not what ends the session that asks, nor the account it is of.
ask -H "Cookie: $cookie" -H "X-Mascaret-Token: $token" --exclude-path /api/v1/session --exclude-path /api/v1/me \
	--exclude-path /api/v1/me/password --exclude-path '/api/v1/accounts/{id}'
kill -0 "$lobby"
echo "the lobby answered all of it as its document says"
