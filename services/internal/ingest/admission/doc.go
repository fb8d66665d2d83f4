// Package admission decides who may send how much: it finds a request's client, by the name of its
// API key or by its address ([Identify], [ClientAddress]), limits the rate of each client's events
// ([Rates]), and counts the bytes of request bodies in memory against a [Budget].
//
// It knows nothing of HTTP answers: package ingest turns its verdicts into problems.
package admission
