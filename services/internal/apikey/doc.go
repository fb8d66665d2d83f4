// Package apikey knows who may send events: the holders of named keys, whose hashes are in a file.
//
//	# name, then SHA-256 of the key
//	billing  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// [New] makes a key and its line, [Parse] reads the file, and [File] follows it while the process
// runs. A name may have several keys, as it does while one is replaced. An event is stored with the
// name.
//
// # Why SHA-256
//
// Slow hashes (argon2id, scrypt, bcrypt) make up for passwords that people can guess. A key of New
// has 256 random bits: whoever has the file would have to try 2^255 of them, which no hash needs to
// make slower. A slow hash would cost milliseconds and megabytes for each request instead, and
// strangers could make the producer spend them. So never put the hash of a word that a person chose
// into the file.
package apikey
