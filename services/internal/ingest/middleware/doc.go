// Package middleware stands before all routes of the producer and knows none of them: spans of
// requests ([Trace]), and what browsers' scripts of other origins may do ([AllowOrigins]).
package middleware
