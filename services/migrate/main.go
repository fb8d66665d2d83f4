// Command migrate brings PostgreSQL to the schema that this release needs, and makes the roles that use it.
//
//	migrate roles        once a cluster, and to change passwords
//	migrate up --wait    at every release, by as many at once as like
//	migrate version
//	migrate down N
//	migrate force N
//	migrate partitions   make months ahead of time, and retire old ones
//
// `migrate --help` lists the environment variables. It exits with 2 when one of them is wrong and with 1 when anything
// else is.
package main

import (
	"os"

	"github.com/trailpost/trailpost/services/internal/migrator"
)

func main() { os.Exit(migrator.Main()) }
