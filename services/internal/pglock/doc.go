// Package pglock takes locks of PostgreSQL's that others may hold: it tries, gives up soon, lets
// the others pass and tries again, and says in the end who was in the way. A statement that waits
// in the queue of a lock has everybody else wait behind it; one that gives way has nobody wait.
package pglock
