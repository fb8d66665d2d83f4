#!/usr/bin/env bash
# The client of docs/clients.md that loses nothing, with curl and jq.
set -euo pipefail

# shellcheck disable=SC2016 # the variables in single quotes are jq's
log() { # returns 0 once the event is safe, 1 if it is refused, and 2 if its outcome is unknown after ten attempts
  local answer code attempt wait='def after: capture("\nretry-after: *(?<at>[^\r\n]+)"; "i").at
      | tonumber? // (strptime("%a, %d %b %Y %H:%M:%S GMT") | mktime - now);
    [([$backoff * (1 + $random) / 2, (try after catch 0) + $random] | max), 30] | min'
  local key=()
  [ -z "${TRAILPOST_API_KEY-}" ] || key=(-H "Authorization: Bearer $TRAILPOST_API_KEY")
  for attempt in {0..9}; do
    answer=$(curl -sSi --max-time 30 -w '\n%{http_code}' -X POST "http://localhost:8001/log" \
      -H "Content-Type: application/json" "${key[@]}" -d "$1") || answer=$'\nno answer'
    code=${answer##*$'\n'}
    case $code in
      202) jq -ne 'input.event_id' <<<"${answer##*$'\r\n\r\n'}" &>/dev/null && return ;; # the whole answer
      408 | 425 | 429 | 500 | 502 | 503 | 504 | 'no answer') ;;
      *)
        echo "$answer" >&2
        return 1
        ;;
    esac
    [ "$attempt" = 9 ] || sleep "$(jq -Rs --argjson random "0.$RANDOM" \
      --argjson backoff $((attempt < 5 ? 2 ** attempt : 30)) "$wait" <<<"$answer")"
  done
  echo "$answer" >&2
  return 2
}

id=$(python3 -c 'import os, time, uuid; b = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10)); b[6] = b[6] & 15 | 0x70; b[8] = b[8] & 63 | 0x80; print(uuid.UUID(bytes=bytes(b)))')
log '{"session_id": 123, "event_type": "user_action", "event_id": "'"$id"'"}' # one id for all attempts
