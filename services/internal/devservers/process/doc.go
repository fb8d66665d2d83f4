// Package process runs a server of the system's packages as a child process: as the
// user that its package made, in a folder that this user reaches, with its logs, and
// with an end that takes every process with it that it started.
package process
