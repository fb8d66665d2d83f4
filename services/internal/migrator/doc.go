// Package migrator is the command migrate, which is a program of its own and, in the image, a
// second name of the consumer: one file for both is half as large.
package migrator
