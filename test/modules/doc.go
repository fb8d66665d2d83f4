// Package modules has only tests. They hold the Makefile to what is compiled: every command has the
// same build tags, and the product links no MessagePack.
package modules
