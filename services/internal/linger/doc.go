// Package linger closes TCP connections so that clients can read the answer.
//
// A server that refuses a large request answers before it has read it all, and closes.
// What the client goes on sending is then answered with a reset, and a reset makes the
// client's system throw away what it had received: a client that sends all before it
// reads, as most do, sees a broken pipe, and never the answer that says what was wrong
// (RFC 9112, 9.6). net/http waits half a second, in which it reads nothing, which helps
// nobody whose body is larger than the sockets' buffers.
//
// [Listen]'s connections therefore end in two steps where more may come: the end of what
// the server sends, and a close when the client has closed, too. In between, what comes
// is thrown away unread, in bounded time, bytes and number of connections ([Limits]).
// This is nginx's lingering_close. It works on the connection's bytes, so it does the same
// for TLS, and for requests that net/http itself refuses.
package linger
