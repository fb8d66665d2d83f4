package docs

import "regexp"

// nameRule is a name that docs/style.md asks to avoid: coined, or one that stands for several things.
type nameRule struct {
	in      string         // folder
	pattern *regexp.Regexp // of declared names, or of files' base names
	better  string
	planted string // a name that the rule must find
}

func avoidName(in, pattern, better, planted string) nameRule {
	return nameRule{in, regexp.MustCompile(pattern), better, planted}
}

const (
	anywhere = "services/"
	inBroker = "services/internal/broker/"
	inIngest = "services/internal/ingest/"
	inDrain  = "services/internal/drain/"
	inStore  = "services/internal/store/"
	inEvent  = "services/internal/event/"
)

// names are the rules for what the code declares, one for each row of the table of a reading of the
// whole code in November 2026.
var names = []nameRule{
	avoidName(anywhere, `(?i)roomy`, "largeFrameConn: it raises frame_max", "roomyConn"),
	avoidName(inBroker, `(?i)^(new)?gate$|^gate\.go$`, "readWindow: flow control", "newGate"),
	avoidName(inBroker, `(?i)^(open)?link$|^link\.go$`, "session: AMQP 1.0 has links", "openLink"),
	avoidName(inBroker, `^lanes$`, "scheduler", "lanes"),
	avoidName(anywhere, `(?i)outlet`, "ConfirmingPublisher", "NewOutlet"),
	avoidName(inBroker, `^(New)?Consumer$`, "SessionOpener: it consumes nothing", "NewConsumer"),
	avoidName(inBroker, `^(Saw|former|settled)$`, "ObserveSize, previous, prefetchSetAt", "Saw"),
	avoidName(anywhere, `(?i)^(new)?sparse`, "logSampler; in tracing, throttledExporter", "sparse.go"),
	avoidName(anywhere, `^quiet`, "throttledExporter", "quiet.go"),
	avoidName(inIngest, `(?i)^spread`, "jitterListener", "spreadListener"),
	avoidName(inStore, `(?i)^holds(\.go)?$`, "HasEvent", "Holds"),
	avoidName(anywhere, `(?i)vitals`, "DatabaseStats, database metrics", "ReadVitals"),
	avoidName(inEvent, `(?i)^(new)?door`, "Parser: a door is an endpoint", "Door"),
	avoidName(inDrain, `^(under|through|ahead|held)$`, "ctx, cancel, inFlight, carryOver", "under"),
	avoidName(inBroker, `^sending$`, "sendSpan, startSendSpan: tracing names no product verb", "sending"),
	avoidName(inBroker, `^sender$`, "span: the sender is the API key's name", "sender"),
	avoidName(inIngest, `^(w client|client\.key)$`, "keyName; sender", "client.key"),
	avoidName(anywhere, `^[sS]ettle`, "what it does: closeIfDrained, awaitAndAck, assign, loadOrInit", "settle"),
	avoidName(inEvent, `^type batch$`, "batchReader; a batch is drain's alone", "type batch"),
	avoidName(inBroker, `^type batch$`, "batchRequest; a batch is drain's alone", "type batch"),
	avoidName(inStore, `^type batch$`, "writePlan; a batch is drain's alone", "type batch"),
	avoidName(anywhere, `(?i)poison`, "rejected", "isPoison"),
	avoidName(anywhere, `(?i)^loser`, "sessionState", "loser"),
	avoidName(anywhere, `^(busy|durable|forget(_linux)?)\.go$`, "locks.go, atomic_file.go, fadvise_linux.go", "busy.go"),
	avoidName(anywhere, `^(place|card|together|family|hop_test|convict_test)(\.go)?$`,
		"environment, exportPath; banner, validate, process_tree, proxy_test, mutation_test", "place"),
	avoidName(anywhere, `(?i)^rooms?$`, "package", "room"),
}
