// Package integration holds tests of the whole pipeline, a producer and a consumer on real
// servers: what becomes of events, good and hostile ones, through outages, crashes and
// shutdowns. Tests of what operators set and see are in package operations below it; those
// that break the pipeline at random, under load, are in package faults.
package integration
