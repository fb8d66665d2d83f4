// Package attach takes a detached month back into the trail, and with it the events of that month
// that came meanwhile and had to wait in the default partition.
//
// A default partition with few rows is emptied of them within the transaction that attaches the
// month. A large one is exchanged for a copy without them: see exchange.go. Each step goes on where
// a crash has left the one before.
package attach
