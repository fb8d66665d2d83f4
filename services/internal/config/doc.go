// Package config turns environment variables into one typed [Config].
//
// Use [Load] in a main: it returns the configuration, or one [Error] with a line for every fault,
// so that nobody has to start a program ten times to find ten mistakes. [ExitCode] turns that error
// into the exit code of the process. [Usage] prints the variables of a binary; it and Load read the
// same struct tags, so they cannot disagree. The types of the values are in package values.
//
// # Where values come from
//
// The environment of the process, and below it a file .env in the working directory, whose values
// apply where the environment has none. An empty value counts as absent, in both places. All
// binaries may share one .env: every variable that is present is checked by all of them, but a
// required one must be there only for the binaries that use it, and only they read files.
//
// A secret (a field of type [values.Secret]) can come from a file instead, which the variable with
// _FILE appended names: DATABASE_PASSWORD_FILE. Line breaks at the end of the file are cut, and a
// byte-order mark at its beginning, here and in .env. Setting both is a fault. A secret may hold
// any bytes but NUL; in .env, put a value with a dollar sign, or with a space before a #, in single
// quotes.
//
// Durations are a number of seconds (as in the service that Trailpost replaces), a Go duration such
// as 1m30s, or days such as 30d.
package config
