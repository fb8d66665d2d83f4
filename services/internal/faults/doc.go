// Package faults holds tests that break the pipeline in every way that is known,
// between real processes and real servers, and has the judge of test/ledger compare
// what clients were told with what is there afterwards.
//
// A producer and two consumers run as processes of their own. Between the client and
// the producer, and between each of them and its servers, stands a proxy
// (toxiproxy) that can cut, delay, throttle and lose:
//
//	client ─▶ request ─▶ producer ─▶ publish ─▶ RabbitMQ ─▶ consume ─▶ consumers ─▶ store ─▶ PostgreSQL
//
// The random schedule, and what is about failing over, has two PostgreSQLs: the primary,
// and a synchronous standby, which every commit waits for:
//
//	consumers ─▶ store ─▶ address ─▶ primary ◀─ link ◀─ standby
//
// The standby is cut off, ended and promoted; the address then leads to it, and the old
// primary becomes its standby. The judge looks at the one that was promoted last, where
// nothing may be missing that was acked.
//
// A fault is a hop and a kind, such as store/disk full. The same list serves two tests:
//
//	TestFaults        every fault alone, under load, until it was felt; -faults.all
//	TestRandomFaults  a schedule of faults that overlap, chosen by a seed; the seed is printed
//
//	go test ./services/internal/faults -run TestRandomFaults -faults.seed=7 -faults.duration=3m -v
//
// -faults.only has those of a name alone, and -faults.services has the services of another
// commit, from a file that hack/faults-binary makes: do today's faults convict them?
//
// Without a flag the schedule takes a quarter of a minute, and the faults that take
// long stay out of it. `make faults` runs everything.
//
// TestTheJudgeConvicts has services that break a promise on purpose, each in a scene that
// brings it to light, where it must be found out. Such a mutant is this test binary whose
// store or publisher is a decorator of the product's (app.Consumer.AroundStore,
// producer.AroundPublisher); with -faults.all the random schedule must convict it, too.
//
// Clocks do not jump here: it would be the machine's own. What a wrong clock can do to
// an event's id is tested where the rule is, in package event.
package faults
