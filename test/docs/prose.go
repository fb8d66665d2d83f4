package docs

import "regexp"

// rule is a way of writing that docs/style.md asks to avoid.
type rule struct {
	name    string
	pattern *regexp.Regexp
	better  string
	planted string // an example, which the rule must find
}

func avoid(name, pattern, better, planted string) rule {
	return rule{name, regexp.MustCompile(`(?i)` + pattern), better, planted}
}

// english are the rules for what people read: pages, values, help texts. They are those of a
// reading of the whole code in November 2026, one for each of its patterns and words.
var english = []rule{
	avoid("headless clause", `\b(of which there (is|are)|who comes when|(or|that|which|and) (is|are) none\b)`,
		"name what it is", "A deadline that has passed, or is none, stays."),
	avoid("is none", `\b(is|are) no (blank|event's|word)\b|\b(is|are) none\b`,
		"say what it is: malformed, missing, zero", "There are none of them."),
	avoid("genitive for a definition", `\b(is|are) (one|a) \w+'s\.|\bis \w+'s alone\b`,
		"define it: the health of one worker; used only by Run", "The status is one worker's."),
	avoid("by chance", `\bby chance\b`, "at random", "Each is put off by chance."),
	avoid("for good", `\bfor good\b`, "durably", "RabbitMQ holds the event for good."),
	avoid("in hand", `\bin hand\b`, "in flight, unacked, held", "A batch in hand is finished."),
	avoid("taken apart", `\b(take|takes|taken|took) apart\b`, "parsed", "The message is taken apart."),
	avoid("mended", `\bmend(s|ed|ing)?\b`, "fix, fixed", "It is mended by the next run."),
	avoid("put off", `\bput off\b`, "extend, delay", "The deadline is put off."),
	avoid("anew", `\banew\b`, "again", "The connection is opened anew."),
	avoid("a moment's truth", `\bmoment's\b`, "transient, current", "It is a moment's truth."),
	avoid("the kill", `\btells of the\b|\bthe kill\b`, "the error is the one from our own close", "It tells of the kill."),
	avoid("tells whether", `\btells? whether\b`, "reports whether", "Ready tells whether it is ready."),
	avoid("nobody does", `\bwithout it nobody\b|\bnobody does\b`, "off by default; if unset, …", "An address that serves profiles; without it nobody does."),
	avoid("by someone's will", `\bby some(one|body)'s will\b|\bmay be gone\b`, "voluntary disruptions", "Most pods that may be gone by someone's will at a time."),
	avoid("what a pod gets", `\bwhat (a|an|the|each|every) \w+ gets\b`, "resources", "What a pod gets."),
	avoid("packets that others could read", `\bpackets that others\b`, "traffic in the clear", "Packets that others could read."),
	avoid("at home", `\bat home\b`, "belongs to this database", "The trail is not at home on this one yet."),
	avoid("full jitter", `\bfull jitter\b`, "equal jitter, where half of the wait is fixed", "Backoff with full jitter."),
	avoid("room", `\brooms? (of|that|is|are|of README)\b|\b(which|the|each|every|other|one) rooms?\b`, "package", "Each room's doc.go says why."),
	avoid("poison", `\bpoison(ed)?\b`, "rejected", "Poison goes to the dead-letter queue."),
	avoid("coined name", `\b(roomy|sparse|vitals|loser|outlet)\b`, "the field's term; see the glossary", "The outlet publishes dead letters."),
}
