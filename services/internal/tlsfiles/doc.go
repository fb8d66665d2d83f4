// Package tlsfiles reads the files of TLS in one way, and again when they are renewed ([Pair]), and tells
// the causes of failed handshakes apart ([CauseOf]).
package tlsfiles
