// Package openapi has only a test: that the description of the HTTP API is a valid one. It is a module
// of its own, since the product needs no library for that; that the answers are as described is tested
// where they are made, in ingest.
package openapi
