// Package columns says how an event is a row of log_events: the list of its columns, on which COPY,
// INSERT and the comparison with what is there build. A new column is a new entry in columns.go.
package columns
