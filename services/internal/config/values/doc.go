// Package values has the types of the settings that are more than a number or a word, how each is
// written in a variable, and [Parse], which reads them and the types of Go. It knows no variable by
// name: package config has their names, bounds and messages.
package values
