package publish

import "time"

// refusals is what is remembered of messages that the broker refused (nack). [Publisher.mu] guards
// it.
type refusals struct {
	last  time.Time // when the broker's last word was that it refuses a message; zero: it confirmed one
	since time.Time // since when this channel has confirmed nothing and refused what came; zero: it took the last
	again bool      // everything was refused on an earlier channel, too, and nothing was confirmed since
}

// refusalMemory is how long a refusal is spoken of when nobody has tried since.
const refusalMemory = time.Minute

// note keeps the broker's word about a message.
func (r *refusals) note(ack bool, now time.Time) {
	if ack {
		*r = refusals{}
		return
	}
	r.last = now
	if r.since.IsZero() {
		r.since = now
	}
}

// recent reports whether the broker's last word, of a minute ago at most, was a refusal.
func (r *refusals) recent(now time.Time) bool {
	return !r.last.IsZero() && now.Sub(r.last) <= refusalMemory
}

// lasting reports whether this channel has been refused everything for that long.
func (r *refusals) lasting(now time.Time, limit time.Duration) bool {
	return !r.since.IsZero() && now.Sub(r.since) >= limit
}

// channelLeft notes that everything was refused on a channel. It reports whether the one before was
// left for the same reason.
func (r *refusals) channelLeft() (again bool) {
	again, r.again = r.again, true
	return again
}

// newChannel forgets the channel.
func (r *refusals) newChannel() { r.since = time.Time{} }

// newSession forgets the session, but not what the broker said last.
func (r *refusals) newSession() { *r = refusals{last: r.last} }
