// Package testbed gives tests real servers: a private RabbitMQ and a private
// PostgreSQL (package devservers), shared by a test process, or by a whole
// `go test ./...` under cmd/withservers.
//
// A package's tests hand themselves to [Main]:
//
//	func TestMain(m *testing.M) { testbed.Main(m) }
//
// and then ask for what they need: [Postgres] is a migrated database of the
// test's own, [EmptyPostgres] one without the schema, [Rabbit] a vhost of its
// own. A test that wants to stop, restart or kill servers takes a pair to itself
// with [PrivateServers], and databases and vhosts on it with [Servers.Database]
// and [Servers.Vhost]; [OwnServers] is such a pair for all tests of a process.
// Servers start when the first test asks for them, each alone, so a package that
// needs no broker starts none.
//
// A failing test shows what its servers logged while it ran.
//
//	TRAILPOST_TEST_SERVERS  the state file of servers that run already (cmd/withservers sets it)
//	TRAILPOST_TEST_KIND     auto, packages or docker: where tests start servers from
//	TRAILPOST_TEST_KEEP=1   keeps the database and the vhost of a failed test, and prints their URLs
//
// What is kept outlives the test only on servers that do: those of cmd/withservers --keep.
package testbed
