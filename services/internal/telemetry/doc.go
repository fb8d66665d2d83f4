// Package telemetry is what every binary needs to be observed: a logger ([NewLogger]), a metrics
// registry that says which build runs ([NewRegistry]), and the server of a process that has no
// other HTTP ([NewProbeServer]). Metrics themselves are declared in the package that counts.
package telemetry
