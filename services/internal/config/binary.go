package config

import "strings"

// Binary says which program asks: each has variables of its own. Values can be joined with | by a
// program that does the work of several.
type Binary uint8

const (
	ForProducer Binary = 1 << iota
	ForConsumer
	ForMigrate // migrate up, down, version and force
	ForRoles   // migrate roles, which also needs the other roles' passwords
	ForLetters // consumer dead-letters, which needs no database
	ForMonths  // migrate partitions, which must know how long clients retry
)

// binaryNames are the words of the struct tags "for" and "required".
var binaryNames = map[string]Binary{
	"producer": ForProducer,
	"consumer": ForConsumer,
	"migrate":  ForMigrate,
	"roles":    ForRoles,
	"letters":  ForLetters,
	"months":   ForMonths,
}

// parseBinaries reads a tag such as "consumer,migrate". An unknown word is a mistake in this
// package: it panics, so that every test finds it.
func parseBinaries(tag string) Binary {
	var b Binary
	for word := range strings.SplitSeq(tag, ",") {
		if word == "" {
			continue
		}
		one, ok := binaryNames[word]
		if !ok {
			panic("config: no binary is called " + word)
		}
		b |= one
	}
	return b
}
