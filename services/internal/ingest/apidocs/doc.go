// Package apidocs has the description of the producer's HTTP interface (OpenAPI 3.1 in JSON), the
// page on which people read it and try it, and the page of links that browsers get at /. It holds
// files alone: what it describes is package ingest, whose tests hold real answers against it.
package apidocs
