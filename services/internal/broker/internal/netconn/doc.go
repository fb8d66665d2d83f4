// Package netconn wraps the connection between the socket (or TLS) and the AMQP client, where the
// client library leaves something out: deadlines of writes, a window for what is read, frames that
// are larger than agreed, and what the broker said before it was understood. Each wrapper says why
// it is there and when it can go.
package netconn
