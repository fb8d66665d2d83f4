"""The client of docs/clients.md that loses nothing, in Python."""
import calendar, email.utils, http.client, json, os, random, time, urllib.error, urllib.request, uuid


def uuid7():
    b = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    b[6], b[8] = b[6] & 0x0F | 0x70, b[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(b)))


class Refused(Exception):
    """The event can't be accepted as it is: a person has to look."""


def seconds(retry_after):
    """Retry-After is a number or a date; 0 if it is neither."""
    try:
        if retry_after.isdigit():
            return min(int(retry_after), 30)
        return min(calendar.timegm(email.utils.parsedate(retry_after)) - time.time(), 30)
    except (TypeError, ValueError, OverflowError):
        return 0


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # so that it is an HTTPError: the page it leads to takes no events


opener = urllib.request.build_opener(NoRedirects)
headers = {"Content-Type": "application/json"}
if key := os.environ.get("TRAILPOST_API_KEY"):
    headers["Authorization"] = f"Bearer {key}"


def log(event, url="http://localhost:8001/log", attempts=10):
    """Returns the event's id once it is safe. Raises Refused if it never can be, else, after the last attempt, why."""
    body = json.dumps({**event, "event_id": event.get("event_id") or uuid7()}).encode()  # one id for all attempts
    for attempt in range(attempts):
        request = urllib.request.Request(url, body, headers)
        after = 0
        try:
            with opener.open(request, timeout=30) as answer:
                if answer.status != 202:  # a proxy's page
                    raise Refused(answer.status, answer.read().decode(errors="replace"))
                return json.load(answer)["event_id"]
        except urllib.error.HTTPError as error:
            if error.code not in (408, 425, 429, 500, 502, 503, 504):
                raise Refused(error.code, error.read().decode(errors="replace")) from error
            if attempt == attempts - 1:
                raise
            after = seconds(error.headers.get("Retry-After", ""))
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):  # no answer, or not all of it
            if attempt == attempts - 1:
                raise
        backoff = min(2**attempt, 30) * random.uniform(0.5, 1)
        time.sleep(min(max(backoff, after + random.random()), 30))


if __name__ == "__main__":
    print(log({"session_id": 123, "event_type": "user_action", "payload": {"button": "save"}}))
