// Package connection dials RabbitMQ and opens channels. A connection is a session: the client
// library's own recovery stays off, and whoever holds a connection drops all that belongs to it
// when it is lost. What the broker said when it closed one is kept, and is in the errors.
package connection
