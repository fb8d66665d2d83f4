// Package docs has only tests. They hold the pages, README.md and docs/, to what is there: links lead
// somewhere, every command is run by a test or says why not, examples are the files of
// docs/examples, README is one page, and the language is that of docs/style.md.
package docs
