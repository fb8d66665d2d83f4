// Package modules has only tests. They hold the Makefile to what there is: its commands cover every
// package of every module, with the same build tags; the product's module has no library of its
// tests on Kubernetes or under faults, and its binaries no MessagePack.
package modules
