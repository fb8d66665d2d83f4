package queues

// For tests of what producers and consumers do with these, which import this package.
var (
	Examine        = examine
	ErrUntold      = errUntold
	QueueArguments = queueArguments
	DeadArguments  = deadArguments
)
