package publish

import (
	"testing"
	"time"
)

func TestRefusals(t *testing.T) {
	var r refusals
	if r.recent(noon) || r.lasting(noon, 0) {
		t.Error("nothing was refused, and is remembered")
	}
	r.note(false, noon)
	r.note(false, noon.Add(time.Second))
	if !r.recent(noon.Add(time.Second+refusalMemory)) || r.recent(noon.Add(2*time.Second+refusalMemory)) {
		t.Error("a refusal is remembered for another time than since the last one")
	}
	if !r.lasting(noon.Add(5*time.Second), 5*time.Second) || r.lasting(noon.Add(4*time.Second), 5*time.Second) {
		t.Error("a channel is refused everything since another time than the first refusal")
	}
	if r.channelLeft() || !r.channelLeft() {
		t.Error("the first channel that is left is the first, and no other")
	}
	if r.newChannel(); r.lasting(noon.Add(time.Hour), 0) || !r.recent(noon) {
		t.Error("another channel inherits the time, or forgets the refusal")
	}
	if r.newSession(); r.again || !r.recent(noon) {
		t.Error("another session inherits the warning, or forgets the refusal")
	}
	r.note(false, noon)
	if r.note(true, noon); r != (refusals{}) {
		t.Errorf("after a confirm: %+v", r)
	}
}
