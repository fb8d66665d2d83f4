// Package clientlog makes what clients cause and send fit for the log: a [Sampler] bounds how many
// lines they can cause, and [Printable] and [Shorten] bound what their text can do there.
package clientlog
