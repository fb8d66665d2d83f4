package broker

// QueueStatus is what a passive declaration tells: messages that are ready, not those that
// consumers hold unacked.
type QueueStatus struct {
	Name      string
	Messages  int
	Consumers int
}
