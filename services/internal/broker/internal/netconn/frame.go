package netconn

// An AMQP frame has a type (1 byte), a channel (2) and a size (4); the payload and one byte more
// follow.
const (
	frameHeader = 7
	frameMethod = 1 // type of a frame with a method
	frameBody   = 3 // type of a frame with part of a message's body
)
