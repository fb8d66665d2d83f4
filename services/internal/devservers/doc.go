// Package devservers starts a private PostgreSQL and a private RabbitMQ: from the
// system's packages (package process), or as containers (package docker). services/local,
// which is `make run`, and the testbed of the tests use it.
//
// [Open] prepares a pair in a folder, [Pair.Start] starts both; each can also be
// started, stopped and killed alone, and a start after that finds its data, its
// ports and its passwords again. Private means:
//
//   - Everything listens on 127.0.0.1 only, on ports that were free.
//   - RabbitMQ has a node name, a cookie and an epmd of its own, and reads no
//     file of /etc/rabbitmq: it never meets a broker that already runs. Its one
//     user is [Rabbit.User]; there is no guest.
//   - As root, the servers run as the users that their packages made (both refuse
//     root, or should), in a folder that these users can reach. As an ordinary
//     user, they run as that user, past Debian's wrappers, which would su.
//
// Durability is on, as in production (fsync, synchronous_commit): a test that
// kills a server must find what the server promised to keep.
//
// # When the holder dies
//
// Servers outlive a holder that is killed with SIGKILL unless something else ends
// them. PR_SET_PDEATHSIG is no help: Linux sends it when the thread that forked
// ends, and Go's threads come and go. So beside each server sits a small shell,
// in a session of its own, that reads from a pipe whose other end only the holder
// has. When the holder ends, however it ends, the kernel closes the pipe, and the
// shell stops the server by its process id (and removes a temporary folder). See
// [engine.Watcher]. The server's own command waits for a line on its standard input
// before it becomes the server, and that line is sent when the shell is there, so
// there is no moment at which a server runs unwatched.
package devservers
