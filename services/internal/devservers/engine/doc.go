// Package engine is what devservers needs of whatever runs a server, which is a
// process of this machine or a container, and what the two share: commands, and the
// watcher that ends a server whose holder has died.
package engine
