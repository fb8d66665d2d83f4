// Package statedir keeps a folder that outlives the process that works in it: locked for
// one process at a time, with files that are replaced atomically, and with the secrets
// that are made for it once.
package statedir
